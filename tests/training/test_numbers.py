"""Training on numbers: padding, masks, attention and prices must not change what is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loracast.backbone import Backbone, Numbers, build_embedded, embedded_config, load_backbone
from loracast.codec import make_codec
from loracast.errors import ModelError
from loracast.forecasting import forecast_task
from loracast.training import IGNORED, Example, SoftLabel
from loracast.training._attention import short_attention
from loracast.training._batches import collate
from loracast.training._loss import batch_loss

CPU = torch.device("cpu")


@pytest.fixture
def base(tmp_path: Path) -> Backbone:
    build_embedded(tmp_path / "base", embedded_config(64, 2, 96), seed=3)
    made = load_backbone(str(tmp_path / "base"))
    made.use_numeric_head(True, seed=1)
    with torch.no_grad():
        made.model.value_interface.head_out.weight.normal_(0, 0.2)
    return made


def _series(steps: int, channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, channels)).cumsum(axis=0)


def _number_example(steps: int, channels: int, seed: int) -> Example:
    task = forecast_task(make_codec("continuous"), [5])
    values = _series(steps, channels, seed)
    values[steps // 2, 0] = np.nan
    return task.example(values, max(2, steps // 2))


def _mixed_example(seed: int) -> Example:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 200, 20)
    labels = np.full(20, IGNORED)
    labels[15:] = ids[15:]
    shown = _number_example(8, 2, seed).numbers
    assert shown is not None
    return Example(ids, labels, Numbers(4, shown.values, shown.statics, asked_from=8))


def test_a_padded_batch_has_the_loss_of_its_rows(base: Backbone) -> None:
    rows = [_number_example(9, 1, 0), _mixed_example(1), _number_example(14, 3, 2)]
    ids = np.arange(11)
    rows.append(Example(ids, ids.copy()))  # a row of text alone beside them
    with torch.no_grad():
        together, count = batch_loss(base.model, collate(rows, CPU))
        alone = [batch_loss(base.model, collate([row], CPU)) for row in rows]
    assert count == sum(n for _, n in alone)
    # numbers: 8 of one channel less a gap; 5 labels; 13 of three channels less a gap; 10 labels
    assert [n for _, n in alone] == [7, 5, 38, 10]
    np.testing.assert_allclose(float(together), sum(float(x) for x, _ in alone), rtol=1e-5)


@pytest.mark.parametrize("shown", [True, False])
def test_a_soft_label_is_the_mean_of_the_losses_of_its_tokens(base: Backbone, shown: bool) -> None:
    rows = [_mixed_example(4), _mixed_example(5)] if shown else []
    for seed, length in ((6, 9), (7, 13)):  # text alone, of several lengths
        ids = np.random.default_rng(seed).integers(0, 200, length)
        labels = np.where(np.arange(length) < 5, IGNORED, ids)
        rows.append(Example(ids, labels))
    soft = (SoftLabel(-3, (7, 11, 19), (0.5, 0.3, 0.2)), SoftLabel(-1, (3, 4), (0.25, 0.75)))
    rows = [
        replace(row, soft=tuple(replace(s, position=len(row) + s.position) for s in soft[:n]))
        for row, n in zip(rows, (2, 1, 0, 2), strict=False)
    ]

    def loss(examples: list[Example]) -> float:
        with torch.no_grad():
            return float(batch_loss(base.model, collate(examples, CPU))[0])

    wanted = 0.0
    for row in rows:
        hard = row.labels.copy()
        hard[[s.position for s in row.soft]] = IGNORED
        wanted += loss([Example(row.ids, hard, row.numbers)])
        for s in row.soft:
            for token, share in zip(s.ids, s.shares, strict=True):
                alone = np.full_like(hard, IGNORED)
                alone[s.position] = token
                wanted += share * loss([Example(row.ids, alone, row.numbers)])
    assert loss(rows) == pytest.approx(wanted, rel=1e-5)


def test_the_loss_of_numbers_is_the_likelihood_of_the_next_value(base: Backbone) -> None:
    """With a fresh head: Laplace about the last value, K scales of equal weight, by numpy."""
    interface = base.model.value_interface
    with torch.no_grad():
        interface.head_out.weight.zero_()
    example = _number_example(12, 2, 4)
    assert example.numbers is not None
    z, step = example.numbers.values.astype(float), np.exp(example.numbers.statics[:, 2])
    total, n = 0.0, 0
    for c in range(2):
        last = z[0, c]
        for t in range(1, 12):
            if not np.isnan(z[t, c]):
                scales = np.exp(interface.spread.numpy())
                away = abs(z[t, c] - last) / step[c]
                total -= np.log(np.mean(np.exp(-away / scales) / (2 * scales)))
                last, n = z[t, c], n + 1
    with torch.no_grad():
        loss, count = batch_loss(base.model, collate([example], CPU))
    assert count == n
    np.testing.assert_allclose(float(loss), total, rtol=1e-4)


def test_noise_is_on_what_is_shown_and_not_on_the_target(base: Backbone) -> None:
    batch = collate([_number_example(12, 2, 4)], CPU)
    with torch.no_grad():
        torch.manual_seed(0)
        clean, _ = batch_loss(base.model, batch)
        noisy, _ = batch_loss(base.model, batch, 0.1)
        torch.manual_seed(0)
        assert batch.numbers is not None
        before = batch.numbers.values.clone()
        batch_loss(base.model, batch, 0.1)
    assert float(clean) != float(noisy)
    assert torch.equal(batch.numbers.values, before)


def test_numbers_need_an_interface(base: Backbone) -> None:
    base.use_numeric_head(False)
    with pytest.raises(ModelError, match="numeric head"):
        batch_loss(base.model, collate([_number_example(9, 1, 0)], CPU))


@pytest.mark.parametrize("padded", [False, True])
def test_plain_products_attend_as_the_fused_kernel_does(base: Backbone, padded: bool) -> None:
    rows = [_number_example(n, 2, n) for n in ((30, 17, 5) if padded else (30, 30))]
    batch = collate(rows, CPU)
    results: dict[str, Any] = {}
    for name in ("grouped", "sdpa"):
        base.model.zero_grad()
        assert base.model.config._attn_implementation == "sdpa"
        if name == "grouped":
            loss, _ = batch_loss(base.model, batch)
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("loracast.training._attention.GROUPED_UP_TO", 0)
                loss, _ = batch_loss(base.model, batch)
        loss.backward()
        results[name] = (
            float(loss.detach()),
            base.model.model.layers[0].self_attn.k_proj.weight.grad.clone(),
        )
    np.testing.assert_allclose(results["grouped"][0], results["sdpa"][0], rtol=1e-5)
    torch.testing.assert_close(results["grouped"][1], results["sdpa"][1], rtol=1e-3, atol=1e-4)


def test_plain_products_are_used_and_left_again(base: Backbone) -> None:
    with short_attention(base.model, 10):
        assert base.model.config._attn_implementation == "loracast_grouped"
    assert base.model.config._attn_implementation == "sdpa"
    with short_attention(base.model, 1000):
        assert base.model.config._attn_implementation == "sdpa"


def test_the_value_interface_has_the_stated_size(base: Backbone) -> None:
    spec = base.numeric_head_spec
    assert spec is not None
    counted = sum(p.numel() for p in base.model.value_interface.parameters())
    assert spec.n_parameters == counted
