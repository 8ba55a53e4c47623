"""An adapted model learns on with all that it learned, and names its weights and its work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from loracast.adapters import AdapterConfig, lora_parameters
from loracast.backbone import load_backbone
from loracast.decoding import Work
from loracast.errors import ModelError
from loracast.flops import get_convention
from loracast.ledger import Ledger
from loracast.model import AdaptedModel
from loracast.training import Example, TrainConfig

DIALS = TrainConfig(steps=2, batch_size=1, learning_rate=0.05, eval_every=0, precision="fp32")


class Rows:
    def batch(self, step: int) -> list[Example]:
        ids = (np.arange(12) + step) % 9
        return [Example(ids, ids.copy())]


def _trained(base: str, folder: Path, adapter: AdapterConfig, values: bool = False) -> AdaptedModel:
    backbone = load_backbone(base)
    backbone.use_numeric_head(values, seed=0)
    model = AdaptedModel(backbone)
    model.attach(adapter, 3)
    with Ledger.in_memory() as ledger:
        model.train(Rows(), DIALS, ledger=ledger, stage="fit", folder=folder / "checkpoints")
        assert ledger.spent_flops == 2 * model.pricer().step_flops(Rows().batch(0))
    model.save(folder / "adapter", codec={"name": "x"}, context_steps=9, n_channels=1, training={})
    return model


@pytest.mark.parametrize(
    "adapter",
    [AdapterConfig(rank=2), AdapterConfig(rank=2, head_bias=True), AdapterConfig(method="full")],
    ids=["lora", "head bias", "full"],
)
def test_what_was_learned_is_learned_on(base: str, tmp_path: Path, adapter: AdapterConfig) -> None:
    """All that was trained is loaded as it was, can be trained again, and is saved again."""
    made = _trained(base, tmp_path, adapter)
    learned = {n: w.detach().clone() for n, w in lora_parameters(made.backbone.model).items()}
    further = AdaptedModel.load_to_train(tmp_path / "adapter")
    again = lora_parameters(further.backbone.model)
    assert again.keys() == learned.keys()
    assert all(torch.equal(again[name], learned[name]) for name in learned)
    assert further.learned_sha256() == made.learned_sha256() is not None
    assert further.lora == made.lora
    with Ledger.in_memory() as ledger:
        further.train(Rows(), DIALS, ledger=ledger, stage="fit", folder=tmp_path / "more")
    assert further.learned_sha256() != made.learned_sha256()
    further.save(tmp_path / "next", codec={}, context_steps=9, n_channels=1, training={})
    ids = torch.arange(9)[None]
    with torch.no_grad():
        wanted = further.backbone.model(ids).logits
        found = AdaptedModel.load(tmp_path / "next").backbone.model(ids).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_attached_detached_and_merged(base: str, tmp_path: Path) -> None:
    ids = torch.arange(9)[None]
    model = AdaptedModel(load_backbone(base))
    with pytest.raises(ModelError, match="nothing to save"):
        model.save(tmp_path / "a", codec={}, context_steps=9, n_channels=1, training={})
    with pytest.raises(ModelError, match="nothing to train"), Ledger.in_memory() as ledger:
        model.train(Rows(), DIALS, ledger=ledger, stage="fit", folder=tmp_path)
    made = _trained(base, tmp_path, AdapterConfig(rank=2))
    with torch.no_grad():
        before = model.backbone.model(ids).logits
        model.attach(AdapterConfig(rank=2), 0)
        with pytest.raises(ModelError, match="adapted already"):
            model.attach(AdapterConfig(rank=2), 0)
        model.detach()
        assert model.adapter is model.lora is model.learned_sha256() is None
        assert torch.equal(model.backbone.model(ids).logits, before)
        said = made.backbone.model(ids).logits
        assert not torch.allclose(said, before)
        made.merge()
        assert made.lora is None and made.adapter is not None
        torch.testing.assert_close(made.backbone.model(ids).logits, said, rtol=1e-4, atol=1e-4)
        made.merge()  # nothing is left to do


def test_identity_tells_models_apart(base: str, tmp_path: Path) -> None:
    bare = AdaptedModel(load_backbone(base))
    other = AdaptedModel(load_backbone(base, random_start=1))
    made = _trained(base, tmp_path, AdapterConfig(rank=2))
    saved = AdaptedModel.load(tmp_path / "adapter")
    names = [m.identity({"codec": "a"}) for m in (bare, other, made)] + [bare.identity({})]
    assert len(set(names)) == 4
    assert saved.identity({"codec": "a"}) == made.identity({"codec": "a"})


def test_work_in_tokens_meets_the_head_and_work_in_numbers_their_own(base: str) -> None:
    """By hand: a prefill of 2 rows of 10, and 6 positions that look back on 66 keys."""
    backbone = load_backbone(base)
    backbone.use_numeric_head(True, seed=0)
    model, values = AdaptedModel(backbone), backbone.numeric_head_spec
    assert values is not None
    exact, shape = get_convention("exact"), model.architecture
    work = Work(((2, 10),), 6, 66, 5)
    tokens = exact.decode(shape, 6, 66, 5, None) + exact.forward(shape, 2, 10, None, 1)
    numbers = exact.decode(shape, 6, 66, 0, None) + exact.forward(shape, 2, 10, None, 0)
    shown = values.forward(20, 0)  # of a series that is described in words
    assert model.work_flops(work) == (tokens + shown).total
    assert model.work_flops(work, numbers=True) == (numbers + values.forward(26, 5)).total
    backbone.use_numeric_head(False)
    assert model.work_flops(work) == tokens.total
