"""The training loop: token batches in, trained weights out, every FLOP reserved before it runs.

Knows plain batches, not the task they came from. A run is a function of (weights, source, config):
batches depend on the step alone and dropout is seeded by the step, so a run that is killed and
resumed ends with the same bytes as one left alone (on the same machine and thread count).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from loracast.errors import BudgetExceeded, ConfigError, ModelError, StorageError
from loracast.files import sha256_of
from loracast.flops import NEWTON_SCHULZ_STEPS, muon_takes
from loracast.training._batches import collate
from loracast.training._checkpoint import (
    Checkpoint,
    latest_checkpoint,
    optimizer_from,
    optimizer_to,
    write_checkpoint,
)
from loracast.training._config import TrainConfig
from loracast.training._example import Example
from loracast.training._loss import batch_loss
from loracast.training._lost import check_lost_work
from loracast.training._machine import resolved_precision
from loracast.training._meter import SLICE, Meter
from loracast.training._price import VALIDATION_BATCH

__all__ = ["BatchSource", "Progress", "TrainResult", "train", "validation_loss"]


class BatchSource(Protocol):
    """Where training examples come from; a pure function of the step."""

    def batch(self, step: int) -> list[Example]:
        """The examples of training step `step`, from 0."""
        ...


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows after a step."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    remaining_flops: float


@dataclass
class TrainResult:
    """What came out of a run.

    Args:
        steps: optimiser steps done.
        stopped: 'completed', or 'budget' when the next step did not fit.
        history: [{step, train_loss, lr, seconds}] every `log_every` steps.
        validations: [{step, val_loss}].
        grad_norms: name -> norms, at the steps of `history`, for every trained matrix.
        best_step: where the validation loss was lowest (the weights kept), None without one.
        best_val_loss: nats a token.
        flops: spent on training and validation here.
        seconds: of this process and those it resumed.
        precision: what 'auto' became.
    """

    steps: int = 0
    stopped: str = "completed"
    history: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    grad_norms: dict[str, list[float]] = field(default_factory=dict)
    best_step: int | None = None
    best_val_loss: float | None = None
    flops: float = 0.0
    seconds: float = 0.0
    precision: str = "fp32"


def validation_loss(model: Any, examples: Sequence[Example], batch_size: int, bf16: bool) -> float:
    """Mean loss per labelled token and predicted number, nats."""
    device = next(model.parameters()).device
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for start in range(0, len(examples), batch_size):
            loss, tokens = batch_loss(model, collate(examples[start : start + batch_size], device))
            total, count = total + float(loss), count + tokens
    return total / max(count, 1)


def _learning_rate(config: TrainConfig, step: int) -> float:
    """Of step `step`, from 0, as a share of the peak."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.final_share + (1 - config.final_share) * cosine


def _optimizers(model: Any, config: TrainConfig) -> list[torch.optim.Optimizer]:
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if not trained:
        raise ModelError("the model has no trainable parameter; attach an adapter first")

    def adamw(params: list[Any], decay: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            params, lr=config.learning_rate, betas=config.betas, weight_decay=decay
        )

    if config.optimizer == "adamw":
        return [adamw([p for _, p in trained], config.weight_decay)]
    hidden = [p for n, p in trained if muon_takes(n, p.shape)]
    chosen = {id(p) for p in hidden}
    rest = [p for _, p in trained if id(p) not in chosen]
    muon = torch.optim.Muon(
        hidden,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        ns_steps=NEWTON_SCHULZ_STEPS,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, adamw(rest, 0.0)] if rest else [muon]


def _fingerprint(config: TrainConfig, model: Any, stage: str) -> str:
    shapes = [(n, tuple(p.shape)) for n, p in model.named_parameters() if p.requires_grad]
    text = json.dumps([config.model_dump(mode="json"), shapes, stage])
    return sha256_of(text)


class _Run:
    """State of one training run; `train` drives it."""

    def __init__(self, model: Any, config: TrainConfig, stage: str, folder: Path) -> None:
        self.model, self.config, self.stage, self.folder = model, config, stage, folder
        self.device = next(model.parameters()).device
        precision = resolved_precision(config.precision, self.device)
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.optimizers = _optimizers(model, config)
        self.result = TrainResult(precision=precision)
        self.best: dict[str, torch.Tensor] = {}
        self.fingerprint = _fingerprint(config, model, stage)

    @property
    def bf16(self) -> bool:
        """Whether products are in bfloat16; a run that is gone on with keeps its precision."""
        return self.result.precision == "bf16"

    def restore(self) -> None:
        saved = latest_checkpoint(self.folder)
        if saved is None:
            return
        if saved.facts["fingerprint"] != self.fingerprint:
            raise StorageError(
                f"{self.folder} holds checkpoints of another run (other settings or model); "
                "choose another output folder, or remove them"
            )
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(saved.tensors["weights"][name])
        optimizer_from(self.optimizers, saved.tensors["optimizer"])
        self.best = saved.tensors.get("best", {})
        self.result = TrainResult(**saved.facts["result"])

    def save(self) -> None:
        tensors = {"weights": dict(self.weights), "optimizer": optimizer_to(self.optimizers)}
        if self.best:
            tensors["best"] = self.best
        facts = {"fingerprint": self.fingerprint, "result": self.result.__dict__}
        write_checkpoint(self.folder, Checkpoint(self.result.steps, tensors, facts))

    def step(self, examples: list[Example]) -> tuple[float, dict[str, float]]:
        """One optimiser step; returns the mean loss and the gradient norms when they are logged."""
        step, config = self.result.steps, self.config
        torch.manual_seed(config.seed * 1_000_003 + step)
        self.model.train()
        scale = _learning_rate(config, step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * scale
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            total, tokens = batch_loss(
                self.model, collate(examples, self.device), config.value_noise * scale
            )
        loss = total / max(tokens, 1)
        if not torch.isfinite(loss):
            raise ModelError(
                f"the loss became {float(loss.detach())} at step {step} of {self.stage}; "
                "lower the learning rate or use precision fp32"
            )
        loss.backward()
        norms: dict[str, float] = {}
        if (step + 1) % config.log_every == 0:
            norms = {n: float(p.grad.norm()) for n, p in self.weights.items() if p.grad is not None}
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(self.weights.values()), config.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.result.steps += 1
        return float(loss.detach()), norms

    def validate(self, examples: Sequence[Example], meter: Meter) -> None:
        step = self.result.steps
        with meter.validation(step):
            loss = validation_loss(self.model, examples, VALIDATION_BATCH, self.bf16)
        self.result.validations.append({"step": step, "val_loss": loss})
        if self.result.best_val_loss is None or loss < self.result.best_val_loss:
            self.result.best_val_loss, self.result.best_step = loss, step
            self.best = {n: p.detach().clone() for n, p in self.weights.items()}

    def due(self, examples: Sequence[Example]) -> list[int]:
        """Steps after which a validation is still to come."""
        if not examples:
            return []
        known = {v["step"] for v in self.result.validations}
        steps = range(max(1, self.result.steps), self.config.steps + 1)
        return [s for s in steps if _steps_to_eval(self.config, s) and s not in known]

    def validate_if_due(self, examples: Sequence[Example], meter: Meter) -> None:
        """The validation that this step asks for; one that does not fit stops the run.

        It is then still due when the run goes on with a larger budget.
        """
        step, done = self.result.steps, self.result.validations
        due = bool(examples) and step > 0 and _steps_to_eval(self.config, step)
        if not due or (done and done[-1]["step"] == step):
            return
        try:
            self.validate(examples, meter)
        except BudgetExceeded:
            self.result.stopped = "budget"


def _steps_to_eval(config: TrainConfig, step: int) -> bool:
    last = step == config.steps
    return last or (config.eval_every > 0 and step % config.eval_every == 0)


def _block_end(config: TrainConfig, start: int, validates: bool) -> int:
    """Where the next block of steps ends: at a checkpoint or a validation, or with the run."""
    every = [config.checkpoint_every, *([config.eval_every] if validates else ())]
    return min([config.steps, *((start // n + 1) * n for n in every if n)])


def _slice(
    run: _Run,
    source: BatchSource,
    meter: Meter,
    end: int,
    seconds: Callable[[], float],
    progress: Callable[[Progress], None] | None,
) -> None:
    """A few steps, reserved before and settled after; fewer, or none, where the budget ends."""
    config, start = run.config, run.result.steps
    steps = range(start, min(end, (start // SLICE + 1) * SLICE))
    batches = [source.batch(step) for step in steps]
    try:
        batches = batches[: meter.reserve_steps(start, batches)]
    except BudgetExceeded:
        if start == 0:
            raise
        run.result.stopped = "budget"
        return
    begun = 0
    try:
        for examples in batches:
            begun += 1
            tick = time.monotonic()
            loss, norms = run.step(examples)
            step = run.result.steps
            if norms:
                run.result.history.append(
                    {
                        "step": step,
                        "train_loss": loss,
                        "lr": config.learning_rate * _learning_rate(config, step - 1),
                        "seconds": seconds(),
                    }
                )
                for name, norm in norms.items():
                    run.result.grad_norms.setdefault(name, []).append(norm)
            if progress is not None:
                rate = sum(len(e) for e in examples) / (time.monotonic() - tick)
                progress(Progress(step, config.steps, loss, rate, meter.remaining_flops))
    finally:
        meter.settle_steps(begun)


def train(
    model: Any,
    source: BatchSource,
    config: TrainConfig,
    *,
    meter: Meter,
    folder: Path,
    validation: Sequence[Example] = (),
    progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train what requires gradients; the model ends with the best validated weights.

    Args:
        model: a causal LM, adapted or not.
        source: batches by step.
        config: the dials.
        meter: holds the prices of steps and validations, and the ledger that may refuse them.
        folder: of checkpoints; the run goes on from the newest whole one, if there is one.
        validation: examples for the validation loss; empty for none.
        progress: called after every step.

    Raises:
        BudgetExceeded: not even the first step fits.
        ConfigError: the meter prices another optimiser.
        ModelError: the loss is no longer finite, or nothing is trainable.
        StorageError: checkpoints cannot be written, belong to another run, or are lost with work
            that does not fit into the budget a second time.

    Warns:
        DamageWarning: checkpoints are damaged, or work is done and charged a second time.
    """
    if meter.pricer.optimizer != config.optimizer:
        raise ConfigError(
            f"the meter prices the optimizer {meter.pricer.optimizer!r} and the run takes "
            f"{config.optimizer!r}; give both the same"
        )
    run = _Run(model, config, meter.stage, folder)
    with torch.random.fork_rng(devices=[]):
        run.restore()
        check_lost_work(
            meter,
            folder,
            step=run.result.steps,
            steps=config.steps,
            saved_next=_block_end(config, run.result.steps, bool(validation)),
            batch=source.batch,
            validations=len(run.due(validation)),
        )
        before = run.result.seconds
        started = time.monotonic()
        run.result.stopped = "completed"  # what did not fit before may fit now
        run.validate_if_due(validation, meter)
        while run.result.steps < config.steps and run.result.stopped == "completed":
            start = run.result.steps
            end = _block_end(config, start, bool(validation))
            while run.result.steps < end and run.result.stopped == "completed":
                _slice(
                    run, source, meter, end, lambda: before + time.monotonic() - started, progress
                )
            if run.result.steps == start:
                break
            run.validate_if_due(validation, meter)
            run.result.seconds = before + time.monotonic() - started
            run.result.flops = meter.spent_by(run.result.steps)
            run.save()
        run.result.flops = meter.spent_by(run.result.steps)
    if run.best:
        with torch.no_grad():
            for name, weight in run.weights.items():
                weight.copy_(run.best[name])
    model.eval()
    return run.result
