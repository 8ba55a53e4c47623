"""Pretraining: a stream that depends on the step alone, and a base that loads with its numbers."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from loracast.backbone import (
    EMBEDDED_DIR,
    Backbone,
    build_embedded,
    embedded_config,
    has_numeric_head,
    load_backbone,
    numeric_head_of,
)
from loracast.pretraining import pretrain
from loracast.pretraining._corpus_batches import CorpusBatches
from loracast.pretraining._pretrain import PretrainRecipe
from loracast.training import IGNORED, Example

KINDS = (
    {"kind": "continuous", "share": 0.5, "positions": 256, "steps": [32, 64]},
    {"kind": "digits", "share": 0.25, "rows": 2, "tokens": 64},
    {"kind": "annotation", "share": 0.25, "rows": 2, "lengths": [32, 48]},
)


def _recipe(**changes: object) -> PretrainRecipe:
    return PretrainRecipe.model_validate(
        {
            "seed": 3,
            "hidden": 64,
            "layers": 1,
            "mlp": 96,
            "kinds": KINDS,
            "validation": 1,
            "training": {"steps": 4, "eval_every": 0, "checkpoint_every": 2, "value_noise": 0.02},
        }
        | changes
    )


@pytest.fixture
def base(tmp_path: Path) -> Backbone:
    build_embedded(tmp_path / "base", embedded_config(64, 1, 96), seed=0)
    return load_backbone(str(tmp_path / "base"))


def _stream(base: Backbone) -> CorpusBatches:
    recipe = _recipe()
    return CorpusBatches(base, recipe.kinds, recipe.seed, recipe.context_range)


def test_a_batch_depends_on_the_step_alone(base: Backbone) -> None:
    forward, backward = _stream(base), _stream(base)
    steps = [0, 1, 2, 3, 9, 40]
    seen = {step: forward.batch(step) for step in steps}
    for step in reversed(steps):
        for one, other in zip(seen[step], backward.batch(step), strict=True):
            np.testing.assert_array_equal(one.ids, other.ids)
            np.testing.assert_array_equal(one.labels, other.labels)
            assert (one.numbers is None) == (other.numbers is None)
            if one.numbers is not None and other.numbers is not None:
                np.testing.assert_array_equal(one.numbers.values, other.numbers.values)


def test_kinds_come_by_their_shares_and_one_to_a_batch(base: Backbone) -> None:
    stream = _stream(base)
    kinds: Counter[str] = Counter()
    shown: set[bytes] = set()
    count = 0
    for step in range(40):
        batch = stream.batch(step)
        kind = {
            "numbers" if (e.labels == IGNORED).all() else "answer" if e.numbers else "digits"
            for e in batch
        }
        assert len(kind) == 1
        kinds[kind.pop()] += 1
        for example in batch:
            numbers = b"" if example.numbers is None else example.numbers.values.tobytes()
            shown.add(example.ids.tobytes() + numbers)
            count += 1
    assert kinds == {"numbers": 20, "digits": 10, "answer": 10}
    assert len(shown) == count  # nothing is shown twice
    lengths = {len(e) for e in stream.batch(0)}
    assert lengths in ({32}, {64})


def test_what_validates_is_never_trained_on(base: Backbone) -> None:
    stream = _stream(base)

    def shown(example: Example) -> bytes:
        numbers = b"" if example.numbers is None else example.numbers.values.tobytes()
        return example.ids.tobytes() + numbers

    held = {shown(e) for which in range(3) for batch in stream.pool(which, 0) for e in batch}
    trained = {shown(e) for step in range(32) for e in stream.batch(step)}
    assert len(held) > 30
    assert not held & trained


def test_an_answer_is_asked_for_and_ends(base: Backbone) -> None:
    stream = _stream(base)
    example = next(
        e
        for step in range(8)
        for e in stream.batch(step)
        if e.numbers is not None and (e.labels != IGNORED).any()
    )
    assert example.numbers is not None
    text = base.tokenizer.decode(example.ids[example.labels != IGNORED])
    assert text.startswith('{"trend":"')
    assert text.endswith("}<|endoftext|>")
    before = base.tokenizer.decode(example.ids[: example.numbers.start])
    assert before.startswith("Describe the time series in JSON: trend, noise, max, min.")
    assert example.numbers.asked_from == len(example.numbers.values)
    assert example.numbers.values.shape[1] == 2  # the values, and a ramp


def test_a_base_is_made_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = pretrain(_recipe(), tmp_path / "whole")
    assert whole.steps == 4
    half = _recipe().model_copy(
        update={"training": _recipe().training.model_copy(update={"steps": 4})}
    )

    def stop(progress: object) -> None:
        if progress.step == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(half, tmp_path / "cut", stop)
    again = pretrain(half, tmp_path / "cut")
    assert again.flops == whole.flops
    made, resumed = (load_backbone(str(tmp_path / n / "model")) for n in ("whole", "cut"))
    assert made.base_sha256 == resumed.base_sha256
    assert has_numeric_head(tmp_path / "whole" / "model")
    interface = numeric_head_of(made.model)
    assert interface is not None
    assert interface.head_out.weight.abs().max() > 0  # it was trained
    assert made.model.dtype == torch.float32


def test_the_card_of_the_embedded_base_has_its_updates() -> None:
    """By hand, from the shapes on disk: Muon on the matrices of the layers, AdamW on the rest."""
    card = json.loads((EMBEDDED_DIR / "pretrain.json").read_text())
    shapes: dict[str, list[int]] = {}
    for file in ("model.safetensors", "values.safetensors"):
        with safe_open(EMBEDDED_DIR / file, "pt") as tensors:
            shapes |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    muon = [sorted(s) for name, s in shapes.items() if ".layers." in name and len(s) == 2]
    products = sum(5 * (4 * s * s * n + 2 * s**3) for s, n in muon)
    assert products == 9_030_860_800  # measured around optimizer.step()
    by_element = sum(22 * s * n + 15 * s * s for s, n in muon)
    head, numbers = (
        sum(14 * math.prod(s) for n, s in shapes.items() if n.startswith(part))
        for part in ("head_", "embed_")
    )
    rest = sum(math.prod(s) for n, s in shapes.items() if n.startswith("model.")) * 14
    rest -= 14 * sum(s * n for s, n in muon)
    steps = card["result"]["steps"]
    # 55 % of the batches show and ask numbers, 30 % show them only, 15 % are digits.
    update = steps * (products + by_element + rest) + steps * (0.85 * numbers + 0.55 * head)
    assert card["recomputed"]["update"] == pytest.approx(update, rel=1e-12)
    then = card["recomputed"]["charged_then"]
    assert card["result"]["flops"] == then + card["recomputed"]["update"]


def test_an_older_base_can_be_the_start(tmp_path: Path) -> None:
    build_embedded(tmp_path / "old", embedded_config(64, 1, 96), seed=9)
    recipe = _recipe(start=str(tmp_path / "old"))
    pretrain(recipe, tmp_path / "out")
    old = load_backbone(str(tmp_path / "old")).model.state_dict()
    start = load_backbone(str(tmp_path / "out" / "start")).model.state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(old[name], start[name])
