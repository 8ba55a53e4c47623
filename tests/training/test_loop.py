"""The loop resumes to the bit, stops before what does not fit, and learns."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from loracast.adapters import AdapterConfig, attach_lora
from loracast.backbone import Backbone, build_embedded, embedded_config, load_backbone
from loracast.errors import BudgetExceeded, DamageWarning, ModelError, StorageError
from loracast.ledger import Ledger
from loracast.training import Example, Meter, Progress, StepPricer, TrainConfig, TrainResult, train
from loracast.training._loop import validation_loss
from loracast.training._meter import SLICE

KEEP = list(range(10, 22))
ADAPTER = AdapterConfig(rank=4, dropout=0.1)
CONFIG = TrainConfig(
    steps=12,
    batch_size=3,
    learning_rate=2e-2,
    warmup_steps=2,
    eval_every=4,
    checkpoint_every=5,
    log_every=2,
    precision="fp32",
)


class Pattern:
    """Counting modulo 12 from a random start, of varying length: easy to learn."""

    def batch(self, step: int) -> list[Example]:
        rng = np.random.default_rng(step)
        out = []
        for _ in range(3):
            ids = (rng.integers(12) + np.arange(rng.integers(8, 14))) % 12
            out.append(Example(ids=ids, labels=ids.copy()))
        return out


VALIDATION = Pattern().batch(10_000)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop") / "base"
    build_embedded(folder, embedded_config(64, 2, 96), seed=3)
    return folder


def _adapted(base: Path) -> Backbone:
    backbone = load_backbone(str(base))
    backbone.prune(KEEP)
    spec = ADAPTER.spec(backbone.model)
    backbone.model = attach_lora(backbone.model, ADAPTER, seed=1)
    backbone.lora = spec  # type: ignore[attr-defined]
    return backbone


def _train(
    base: Path,
    out: Path,
    *,
    limit: float = 1e12,
    config: TrainConfig = CONFIG,
    kill_after: int | None = None,
    fail_after: int | None = None,
) -> tuple[dict[str, torch.Tensor], TrainResult, float]:
    backbone = _adapted(base)

    out.mkdir(parents=True, exist_ok=True)

    def progress(p: Progress) -> None:
        with (out / "ran.txt").open("a") as file:
            file.write(f"{p.step}\n")
        if p.step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if p.step == fail_after:
            raise Interrupted

    with Ledger(out / "ledger.sqlite", limit, "exact") as ledger:
        meter = Meter(StepPricer(backbone.architecture, backbone.lora), ledger, "t", VALIDATION)  # type: ignore[attr-defined]
        result = train(
            backbone.model,
            Pattern(),
            config,
            meter=meter,
            folder=out / "checkpoints",
            validation=VALIDATION,
            progress=progress,
        )
        assert ledger.reserved_flops == 0
        spent = ledger.spent_flops
    weights = {n: p.detach() for n, p in backbone.model.named_parameters() if p.requires_grad}
    return weights, result, spent


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


def _truth(base: Path, out: Path) -> float:
    """What really ran, step by step as each process noted it, and the three validations."""
    backbone = _adapted(base)
    pricer = StepPricer(backbone.architecture, backbone.lora)  # type: ignore[attr-defined]
    ran = [int(line) - 1 for line in (out / "ran.txt").read_text().split()]
    steps = sum(pricer.step_flops(Pattern().batch(step)) for step in ran)
    return steps + 3 * pricer.validation_flops(VALIDATION)


def _dearest_step(base: Path) -> float:
    backbone = _adapted(base)
    pricer = StepPricer(backbone.architecture, backbone.lora)  # type: ignore[attr-defined]
    return max(pricer.step_flops(Pattern().batch(step)) for step in range(CONFIG.steps))


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def undisturbed(
    base: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, torch.Tensor], TrainResult, float]:
    return _train(base, tmp_path_factory.mktemp("loop") / "whole")


@pytest.mark.parametrize("kill_after", [3, 5, 8, 11])
def test_killed_and_resumed_ends_as_if_left_alone(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
    kill_after: int,
) -> None:
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_train, args=(base, tmp_path), kwargs={"kill_after": kill_after})
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    weights, result, spent = _train(base, tmp_path)
    expected, whole, expected_spent = undisturbed
    assert _same(weights, expected)
    assert whole.flops == result.flops == expected_spent  # of the steps that count
    # What ran twice is paid twice; of a killed slice all steps are, whether they ran or not.
    truth = _truth(base, tmp_path)
    assert truth <= spent <= truth + (SLICE - 1) * _dearest_step(base)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.spent_flops - ledger.repeated_flops == expected_spent
    assert result.validations == whole.validations
    assert result.grad_norms == whole.grad_norms
    assert result.best_step == whole.best_step


def test_six_kills_at_step_three_are_paid_six_times(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
) -> None:
    for _ in range(6):
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(
                Meter, "settle_steps", lambda *_: None
            )  # a killed process settles nothing
            _train(base, tmp_path, fail_after=3)
    weights, result, spent = _train(base, tmp_path)
    assert _same(weights, undisturbed[0])
    ran = (tmp_path / "ran.txt").read_text().split()
    assert len(ran) == 6 * 3 + 12
    truth = _truth(base, tmp_path)
    assert truth <= spent <= truth + 6 * _dearest_step(base)  # slices of four steps
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.verify() == []
        assert ledger.repeated_flops == spent - undisturbed[2]
    assert result.flops == undisturbed[2]


def test_an_interruption_pays_for_the_steps_that_ran(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
) -> None:
    for _ in range(2):
        with pytest.raises(Interrupted):
            _train(base, tmp_path, fail_after=2)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.reserved_flops == 0
    weights, _, spent = _train(base, tmp_path)
    assert _same(weights, undisturbed[0])
    assert spent == _truth(base, tmp_path)  # to the step


def test_repeated_steps_that_do_not_fit_are_refused(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
) -> None:
    expected, _, whole = undisturbed
    with pytest.raises(Interrupted):
        _train(base, tmp_path, limit=whole, fail_after=7)
    _, result, spent = _train(base, tmp_path, limit=whole)
    assert result.stopped == "budget"
    assert spent <= whole
    weights, result, spent = _train(base, tmp_path, limit=1.5 * whole)
    assert result.stopped == "completed"
    assert spent == _truth(base, tmp_path) > whole
    assert _same(weights, expected)


def test_it_learns_and_keeps_the_best_weights(
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
) -> None:
    _, result, _ = undisturbed
    losses = [v["val_loss"] for v in result.validations]
    assert [v["step"] for v in result.validations] == [4, 8, 12]
    assert result.best_val_loss == min(losses)
    assert losses[-1] < losses[0]
    assert set(result.grad_norms) == {n for n in undisturbed[0] if "lora" in n}
    assert all(len(v) == len(result.history) for v in result.grad_norms.values())


class Turned(Pattern):
    """Counts upwards for six steps and downwards after that."""

    def batch(self, step: int) -> list[Example]:
        rows = super().batch(step)
        return rows if step < 6 else [Example(e.ids[::-1].copy(), e.ids[::-1].copy()) for e in rows]


def test_the_model_ends_with_the_weights_of_the_best_validation(base: Path, tmp_path: Path) -> None:
    """The loss rises again; a validation of the model that is left says whose weights it has."""
    each = CONFIG.model_copy(
        update={"eval_every": 1, "learning_rate": 5e-2, "schedule": "constant"}
    )
    backbone = _adapted(base)
    with Ledger(tmp_path / "ledger.sqlite", 1e12, "exact") as ledger:
        meter = Meter(StepPricer(backbone.architecture, backbone.lora), ledger, "t", VALIDATION)  # type: ignore[attr-defined]
        result = train(
            backbone.model,
            Turned(),
            each,
            meter=meter,
            folder=tmp_path / "checkpoints",
            validation=VALIDATION,
        )
    losses = {v["step"]: v["val_loss"] for v in result.validations}
    assert result.best_step == min(losses, key=lambda step: losses[step])
    assert losses[12] > 1.001 * min(losses.values())  # far beyond the tolerance below
    left = validation_loss(backbone.model, VALIDATION, 16, bf16=False)
    assert left == pytest.approx(result.best_val_loss, rel=1e-5)


def test_the_budget_ends_the_run_before_the_step_that_does_not_fit(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
) -> None:
    expected, _, whole = undisturbed
    _, result, spent = _train(base, tmp_path, limit=0.6 * whole)
    assert result.stopped == "budget"
    assert 5 < result.steps < 12
    assert spent <= 0.6 * whole
    weights, result, spent = _train(base, tmp_path, limit=whole)
    assert result.stopped == "completed"
    assert _same(weights, expected), "a raised budget goes on where the smaller one ended"
    assert spent == whole


def test_not_one_step_is_a_refusal_that_writes_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded):
        _train(base, tmp_path, limit=10)
    assert not (tmp_path / "checkpoints").exists()


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _steps_kept(out: Path) -> list[int]:
    return sorted(int(p.name[5:]) for p in (out / "checkpoints").glob("step-*"))


def _loses(out: Path, what: str) -> int:
    """Lose checkpoints; returns the step that is still whole."""
    newest = out / "checkpoints" / f"step-{_steps_kept(out)[-1]:08d}"
    if what == "the folder":
        shutil.rmtree(out / "checkpoints")
        return 0
    if what == "every file of the newest":
        for file in newest.iterdir():
            file.unlink()
    elif what == "the newest":
        shutil.rmtree(newest)
    elif what == "a bit of every one":
        for path in (out / "checkpoints").glob("step-*"):
            _flip(path / "optimizer.safetensors")
        return 0
    elif what == "the mark's list":
        mark = json.loads((newest / "COMPLETE.json").read_text())
        del mark["sha256"]["optimizer.safetensors"]
        (newest / "optimizer.safetensors").unlink()
        (newest / "COMPLETE.json").write_text(json.dumps(mark))
    elif what == "a cut":
        file = newest / "weights.safetensors"
        file.write_bytes(file.read_bytes()[:-7])
    else:
        _flip(newest / what)
    return _steps_kept(out)[-2 if newest.exists() else -1]


@pytest.mark.parametrize(
    "what",
    [
        "the folder",
        "the newest",
        "every file of the newest",
        "a bit of every one",
        "the mark's list",
        "a cut",
        "weights.safetensors",
        "optimizer.safetensors",
        "best.safetensors",
        "facts.json",
        "COMPLETE.json",
    ],
)
def test_lost_work_is_done_again_charged_again_and_said(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
    what: str,
) -> None:
    _train(base, tmp_path)
    left = _loses(tmp_path, what)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        once = ledger.entries()
    # What comes after the whole checkpoint, blocks of steps and validations, costs a second time.
    again = sum(
        e.settled_flops or 0.0
        for e in once
        if (start := int(e.key.rsplit("/", 1)[1])) > left or (e.kind == "train" and start == left)
    )
    assert again > 0
    with pytest.warns(DamageWarning) as said:
        weights, result, spent = _train(base, tmp_path)
    assert any("trained again is charged again" in str(w.message) for w in said)
    assert _same(weights, undisturbed[0])
    assert result.steps == 12
    assert result.validations == undisturbed[1].validations
    assert spent == undisturbed[2] + again
    assert result.flops == undisturbed[2]  # of the steps that count
    # and a further run finds everything in place
    weights, _, after = _train(base, tmp_path)
    assert _same(weights, undisturbed[0])
    assert after == spent


def test_work_lost_twice_is_charged_three_times(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
) -> None:
    _train(base, tmp_path)
    for times in (2, 3):
        shutil.rmtree(tmp_path / "checkpoints")
        with pytest.warns(DamageWarning, match="charged again"):
            weights, _, spent = _train(base, tmp_path)
        assert _same(weights, undisturbed[0])
        assert spent == times * undisturbed[2]


@pytest.mark.parametrize("what", ["the folder", "the newest", "a bit of every one"])
def test_lost_work_that_does_not_fit_again_is_refused_before_it_begins(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
    what: str,
) -> None:
    whole = undisturbed[2]
    _train(base, tmp_path, limit=whole)  # to the last FLOP
    _loses(tmp_path, what)
    kept = _steps_kept(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        with pytest.raises(
            StorageError, match="lost or damaged; training from there again"
        ) as caught:
            _train(base, tmp_path, limit=whole)
    assert "\n" not in str(caught.value)
    assert _steps_kept(tmp_path) == kept
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.spent_flops == whole
    with pytest.warns(DamageWarning) as said:
        weights, result, _ = _train(base, tmp_path, limit=2 * whole)
    assert "charged again" in str(said[-1].message)
    assert (result.steps, result.stopped) == (12, "completed")
    assert _same(weights, undisturbed[0])


@pytest.mark.parametrize("stop_after", [3, 8])
def test_stopped_and_lost_ends_as_if_left_alone(
    base: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], TrainResult, float],
    stop_after: int,
) -> None:
    """Stopped within a block, its checkpoints deleted, stopped again, and run to the end."""
    for _ in range(2):
        with pytest.raises(Interrupted), warnings.catch_warnings():
            warnings.simplefilter("ignore", DamageWarning)
            _train(base, tmp_path, fail_after=stop_after)
        shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        weights, result, spent = _train(base, tmp_path)
    assert _same(weights, undisturbed[0])
    assert result.steps == 12
    assert spent >= undisturbed[2]


def test_a_resumed_run_keeps_the_precision_it_began_with(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where 'auto' has come to mean another one, as on another machine."""
    auto = CONFIG.model_copy(update={"precision": "auto"})
    monkeypatch.setenv("LORACAST_PRECISION", "bf16")
    expected, whole, _ = _train(base, tmp_path / "whole", config=auto)
    assert whole.precision == "bf16"
    with pytest.raises(Interrupted):
        _train(base, tmp_path / "broken", config=auto, fail_after=7)
    monkeypatch.setenv("LORACAST_PRECISION", "fp32")
    weights, result, _ = _train(base, tmp_path / "broken", config=auto)
    assert result.precision == "bf16"
    assert _same(weights, expected)
    other, plain, _ = _train(base, tmp_path / "plain", config=auto)
    assert plain.precision == "fp32"
    assert not _same(other, expected)


def test_checkpoints_without_their_ledger_are_refused(base: Path, tmp_path: Path) -> None:
    _train(base, tmp_path)
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    with pytest.raises(StorageError, match=r"the ledger .* knows of none"):
        _train(base, tmp_path)


def test_checkpoints_of_another_run_are_refused(base: Path, tmp_path: Path) -> None:
    _train(base, tmp_path)
    other = CONFIG.model_copy(update={"learning_rate": 1e-3})
    with pytest.raises(StorageError, match="another run"):
        _train(base, tmp_path, config=other)


def test_a_full_disk_is_one_clear_line_and_earlier_checkpoints_stay(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loracast.training import _checkpoint

    real, calls = _checkpoint.save_file, []

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        calls.append(path)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(_checkpoint, "save_file", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        _train(base, tmp_path)
    assert "\n" not in str(caught.value)
    assert _steps_kept(tmp_path) == [4]
    assert not list((tmp_path / "checkpoints").glob(".step*"))


def test_a_loss_that_is_no_number_stops_the_run(base: Path, tmp_path: Path) -> None:
    wild = CONFIG.model_copy(update={"learning_rate": 1e30, "clip_norm": None})
    with pytest.raises(ModelError, match="lower the learning rate"):
        _train(base, tmp_path, config=wild)


def test_the_schedule_is_the_published_cosine() -> None:
    from loracast.training._loop import _learning_rate

    config = TrainConfig(steps=110, warmup_steps=10, schedule="cosine")
    rates = [_learning_rate(config, s) for s in range(110)]
    assert rates[:10] == pytest.approx([(s + 1) / 10 for s in range(10)])
    for s in range(10, 110):  # Hoffmann et al. 2022: down to a tenth
        assert rates[s] == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * (s - 10) / 100)))
