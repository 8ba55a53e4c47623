"""One fit within a budget for both products: steps, dials and entries as they have always been."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loracast import Forecaster
from loracast.adapters import AdapterConfig
from loracast.annotation import Annotator, describe_chunk
from loracast.backbone import load_backbone
from loracast.errors import BudgetExceeded
from loracast.ledger import Key, Ledger
from loracast.model import AdaptedModel, BudgetShares
from loracast.model._fit import affordable
from loracast.training import Example, TrainConfig

DIALS = ("steps", "batch_size", "eval_every", "checkpoint_every", "warmup_steps", "log_every")


def _forecaster(codec: str | None, budget: float, training: dict[str, Any]) -> Any:
    def fit(base: str, few: pd.DataFrame, out: Path, ledger: Ledger) -> Any:
        made = Forecaster.from_pretrained(base, codec, n_samples=9)
        return made.fit(few, budget, training=training, max_steps=50, out=out, ledger=ledger)

    return fit


def _annotator(budget: float, n_rows: int | None, **options: Any) -> Any:
    def fit(base: str, few: pd.DataFrame, out: Path, ledger: Ledger) -> Any:
        del few
        rows = None
        if n_rows is not None:
            seed, longest = (3, 60) if n_rows < 10 else (4, 40)
            rows = list(describe_chunk(seed, 0, n_rows, lengths=(20, longest)))
        made = Annotator.from_pretrained(base)
        return made.fit(rows, budget, out=out, ledger=ledger, **options)

    return fit


STREAM: dict[str, Any] = {"lengths": (20, 40), "calibration": 24, "max_steps": 1000}
# What the two fits did while each divided its budget by itself (version 0.1.0, on a CPU): the
# dials, and (stage, kind, part, FLOPs) of every entry; of calibrations what was reserved.
BEFORE: dict[str, tuple[Any, tuple[int, ...], list[tuple[str, str, str | int, int]]]] = {
    "the validation is cut to one example, once": (
        _forecaster(None, 3e8, {"batch_size": 1}),
        (4, 1, 4, 1, 0, 1),
        [("fit", "train", step, 65188544) for step in range(4)]
        + [("fit", "validation", 4, 28016832)],
    ),
    "numbers": (
        _forecaster("continuous", 1.5e9, {}),
        (16, 3, 4, 4, 3, 1),
        [
            ("fit", "train", 0, 330590016),
            ("fit", "train", 4, 82647504),
            ("fit", "train", 5, 247942512),
            ("fit", "train", 8, 165295008),
            ("fit", "train", 10, 165295008),
            ("fit", "train", 12, 247942512),
            ("fit", "train", 15, 82647504),
            *(("fit", "validation", step, 34116000) for step in (4, 8, 12, 16)),
        ],
    ),
    "the stream, with calibration": (
        _annotator(8e9, None, training={"batch_size": 2}, **STREAM),
        (5, 2, 3, 100, 1, 1),
        [
            ("fit", "train", 0, 720436800),
            ("fit", "train", 3, 418727716),
            ("fit", "validation", 3, 1092145536),
            ("fit", "validation", 5, 1092145536),
            ("calibrate", "generate", "", 4051078752),
        ],
    ),
    "rows, chosen dials": (
        _annotator(4e10, 200, max_steps=3, training={"log_every": 7, "warmup_steps": 3}),
        (3, 8, 2, 100, 3, 7),
        [
            ("fit", "train", 0, 1715165312),
            ("fit", "train", 2, 857582656),
            ("fit", "validation", 2, 915708288),
            ("fit", "validation", 3, 915708288),
            ("calibrate", "generate", "", 3352469720),
        ],
    ),
    "few rows, no validation": (
        _annotator(3.5e9, 5),
        (3, 8, 2, 100, 0, 1),
        [("fit", "train", 0, 2985531456)],
    ),
}


@pytest.mark.parametrize("which", BEFORE)
def test_steps_dials_and_entries_are_as_before(
    base: str, few: pd.DataFrame, tmp_path: Path, which: str
) -> None:
    fit, dials, entries = BEFORE[which]
    with Ledger(tmp_path / "shared.sqlite", 1e14) as ledger:
        report = fit(base, few, tmp_path / "out", ledger).fit_report
        (allowance,) = ledger.entries()
        assert allowance.settled_flops == report.flops == ledger.spent_flops
        assert allowance.reserved_flops == report.limit_flops
        assert allowance.kind == "allowance" and Key.parse(allowance.key).kind is None
    assert tuple(getattr(report.config, name) for name in DIALS) == dials
    found = []
    with Ledger(tmp_path / "out" / "ledger.sqlite") as own:
        for entry in own.entries("settled"):
            key = Key.parse(entry.key)
            assert (key.stage, key.kind, key.run) == (entry.stage, entry.kind, 1)
            part = "" if entry.kind == "generate" else key.step
            flops = entry.reserved_flops if entry.kind == "generate" else entry.settled_flops
            found.append((entry.stage, entry.kind, part, flops))
    assert sorted(found, key=repr) == sorted(entries, key=repr)


class _Rows:
    """Batches of one row, the longest one third."""

    def batch(self, step: int) -> list[Example]:
        return [_row(20 if step == 2 else 10)]


def _row(length: int) -> Example:
    ids = np.arange(length) % 7
    return Example(ids, ids.copy())


@pytest.fixture(scope="module")
def model(base: str) -> AdaptedModel:
    made = AdaptedModel(load_backbone(base))
    made.attach(AdapterConfig(rank=2), 0)
    return made


@pytest.mark.parametrize("share", [None, 0.3])
@pytest.mark.parametrize("price", [max, lambda prices: float(np.mean(prices))])
def test_a_budget_is_divided_as_its_shares_say(
    model: AdaptedModel, share: float | None, price: Any
) -> None:
    """Oracle: what one more step, or the validation that was dropped, would have cost."""
    shares = BudgetShares(3, 4, price, share, checkpoints=2)
    pricer = model.pricer()
    prices = [pricer.step_flops(_Rows().batch(i)) for i in range(4)]
    step = price(prices)
    rows: Sequence[Example] = [_row(12)] * 20
    wanted = TrainConfig(steps=1000)
    for budget in (2.5 * step, 12 * step, 80 * step):
        beside = 0.7 * step
        try:
            config, kept, found = affordable(
                model, _Rows(), rows, wanted, {}, budget, shares, beside
            )
        except BudgetExceeded:
            assert share is None
            assert step + beside + 3 * pricer.validation_flops(rows) > budget
            continue
        assert found == step
        assert share is not None or len(kept) == len(rows)
        times = config.steps // config.eval_every + (config.steps % config.eval_every > 0)
        paid = config.steps * step + times * pricer.validation_flops(kept) + beside
        assert paid <= budget + 1
        at_most = 3 * pricer.validation_flops(kept)
        assert (config.steps + 1) * step + at_most + beside > budget
        if share is not None and kept:
            assert times * pricer.validation_flops(kept) <= share * budget


def test_what_the_caller_chose_stays(model: AdaptedModel) -> None:
    wanted = TrainConfig(steps=9, warmup_steps=8, eval_every=5, log_every=3, checkpoint_every=7)
    shares = BudgetShares(2, 1, max, 0.5, checkpoints=3)
    free, _, _ = affordable(model, _Rows(), [_row(9)], wanted, {}, 1e12, shares)
    assert [free.warmup_steps, free.eval_every, free.log_every, free.checkpoint_every] == [
        1, 5, 1, 3
    ]  # fmt: skip
    chosen = {"warmup_steps": 8, "eval_every": 5, "log_every": 3, "checkpoint_every": 7}
    kept, _, _ = affordable(model, _Rows(), [_row(9)], wanted, chosen, 1e12, shares)
    assert kept == wanted
