"""The price of a whole step, forward, backward and update, beside what torch's counter sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loracast.adapters import AdapterConfig, attach_lora
from loracast.backbone import Backbone, Numbers, build_embedded, embedded_config, load_backbone
from loracast.codec import make_codec
from loracast.errors import ConfigError
from loracast.flops import CostTable, muon_takes, trained_parameters
from loracast.forecasting import forecast_task
from loracast.ledger import Ledger
from loracast.training import IGNORED, Example, Meter, StepPricer, TrainConfig, train
from loracast.training._loop import _Run
from tests.flops.torch_counter import counted_flops


def _numbers(seed: int) -> Example:
    values = np.random.default_rng(seed).normal(size=(24, 2)).cumsum(axis=0)
    return forecast_task(make_codec("continuous"), [5]).example(values, 12)


def _text(seed: int) -> Example:
    ids = np.random.default_rng(seed).integers(0, 200, 21)
    return Example(ids, ids.copy())


def _described(seed: int) -> Example:
    """Numbers that are shown and not asked for, and an answer in tokens."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 200, 32)
    labels = np.where(np.arange(32) < 26, IGNORED, ids)
    shown = _numbers(seed).numbers
    assert shown is not None
    return Example(ids, labels, Numbers(1, shown.values, shown.statics, asked_from=24))


KINDS: dict[str, Any] = {"numbers": _numbers, "text": _text, "described": _described}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("price") / "base"
    build_embedded(folder, embedded_config(64, 2, 96), seed=3)
    return folder


def _base(home: Path) -> Backbone:
    made = load_backbone(str(home))
    made.use_numeric_head(True, seed=1)
    return made


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[CostTable]:
    """The cost tables whose totals the meter takes."""
    seen: list[CostTable] = []
    total = CostTable.total.fget  # type: ignore[attr-defined]

    def noted(table: CostTable) -> float:
        seen.append(table)
        return float(total(table))

    monkeypatch.setattr(CostTable, "total", property(noted))
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_whole_step_costs_what_torch_counts(
    home: Path, tmp_path: Path, tables: list[CostTable], method: str, optimizer: str, kind: str
) -> None:
    base = _base(home)
    adapter = AdapterConfig(method=method, rank=4)  # type: ignore[arg-type]
    spec = adapter.spec(base.model)
    model = attach_lora(base.model, adapter, 0)
    dials = TrainConfig(steps=1, optimizer=optimizer, precision="fp32")  # type: ignore[arg-type]
    rows = [KINDS[kind](seed) for seed in range(3)]
    pricer = StepPricer(base.architecture, spec, base.numeric_head_spec, optimizer=optimizer)
    priced = pricer.step_flops(rows)
    run = _Run(model, dials, "x", tmp_path)
    counted = counted_flops(lambda: run.step(rows))  # the loop's own step, its optimisers too
    table = tables[-1]
    assert priced == table.total
    assert table.matmul == counted
    products = table.update.get("optimizer.newton_schulz", 0)
    assert (products > 0) == (optimizer == "muon")
    if method == "full" and optimizer == "muon":
        assert products > 0.1 * counted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_priced_weights_are_those_that_get_a_gradient(
    home: Path, tmp_path: Path, method: str, kind: str
) -> None:
    base = _base(home)
    adapter = AdapterConfig(method=method, rank=4, head_bias=method == "lora")  # type: ignore[arg-type]
    spec = adapter.spec(base.model)
    model = attach_lora(base.model, adapter, 0)
    run = _Run(model, TrainConfig(steps=1, optimizer="muon"), "x", tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for optimizer in run.optimizers:
            patch.setattr(optimizer, "step", lambda: None)
            patch.setattr(optimizer, "zero_grad", lambda set_to_none: None)
        run.step([KINDS[kind](seed) for seed in range(2)])
    # Where numbers alone are shown, the head's bias has no gradient; it is priced all the same.
    touched = {n: tuple(p.shape) for n, p in run.weights.items() if p.grad is not None}
    priced = list(
        trained_parameters(
            base.architecture,
            spec,
            base.numeric_head_spec if kind != "text" else None,
            answered=kind == "numbers",
        )
    )
    if method == "lora" and kind == "numbers":
        priced = [row for row in priced if row[0] != "lm_head.bias"]
    assert sorted(shape for _, shape in priced) == sorted(touched.values())
    by_muon = {id(p) for group in run.optimizers[0].param_groups for p in group["params"]}
    taken = [shape for n, shape in touched.items() if id(run.weights[n]) in by_muon]
    assert sorted(taken) == sorted(shape for n, shape in priced if muon_takes(n, shape))
    assert taken


def test_a_meter_of_another_optimizer_is_refused(home: Path, tmp_path: Path) -> None:
    base = _base(home)
    model = attach_lora(base.model, AdapterConfig(method="full"), 0)

    class Rows:
        def batch(self, step: int) -> list[Example]:
            return [_text(step)]

    with (
        Ledger(tmp_path / "ledger.sqlite", 1e15) as ledger,
        pytest.raises(ConfigError, match="'adamw' and the run takes 'muon'"),
    ):
        train(
            model,
            Rows(),
            TrainConfig(steps=1, optimizer="muon"),
            meter=Meter(StepPricer(base.architecture), ledger, "x"),
            folder=tmp_path / "checkpoints",
        )
    assert torch.isfinite(next(model.parameters())).all()


def test_prices_and_ledger_count_alike(home: Path) -> None:
    pricer = StepPricer(_base(home).architecture, convention="coursework")
    with (
        Ledger.in_memory(1e15) as ledger,
        pytest.raises(ConfigError, match="counts by 'exact', these prices are by 'coursework'"),
    ):
        Meter(pricer, ledger, "x")
    with Ledger.in_memory(1e15, "coursework") as ledger:
        meter = Meter(pricer, ledger, "x", [_text(0)] * 20)
        assert meter.reserve_steps(0, [[_text(1)]]) == 1
        # 16 rows a forward, then four.
        forward = pricer.convention.forward
        rows = [
            forward(pricer.architecture, n, 21, lora=None, head_positions=None, loss=True).total
            for n in (16, 4)
        ]
        assert meter.validation_flops == sum(rows)
