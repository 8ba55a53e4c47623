"""What training steps and validations cost, and the ledger that must grant them first.

Knows lengths of batches and the FLOPs room, not models. Costs are those of the padded batch that
really runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from loracast.flops import (
    Architecture,
    CostTable,
    LoraSpec,
    ValueSpec,
    get_convention,
    trained_parameters,
)
from loracast.ledger import Ledger, LedgerEntry, run_of
from loracast.training._attention import grouped_pays
from loracast.training._batches import padded_length
from loracast.training._example import IGNORED, Example
from loracast.training._loss import scored_positions

__all__ = ["SLICE", "Meter"]

# Steps that are reserved and settled together; a process that is killed is charged for all of the
# slice it was in, at most so many steps less one that it did not run.
SLICE = 5


@dataclass(frozen=True)
class _Shape:
    """What decides the cost of a batch.

    Args:
        rows, length: of the padded batch.
        scored: positions a row that meet the LM head, None for all.
        embedded, answered: positions that meet the value embedding and the distribution head.
    """

    rows: int
    length: int
    scored: float | None = None
    embedded: int = 0
    answered: int = 0

    @classmethod
    def of(cls, examples: Sequence[Example]) -> _Shape:
        rows, length = len(examples), padded_length(examples)
        if all(e.numbers is None for e in examples):
            return cls(rows, length)
        labelled = sum(int((e.labels[1:] != IGNORED).sum()) for e in examples)
        predicted = any(
            e.numbers is not None and e.numbers.asked_from < len(e.numbers.values) for e in examples
        )
        return cls(
            rows,
            length,
            scored_positions(labelled) / rows,
            rows * length,
            rows * (length - 1) * int(predicted),
        )


class Meter:
    """Prices and reserves the work of one training stage.

    Args:
        ledger: of the study.
        stage: its name there.
        architecture: of the model as it runs (pruned vocabulary).
        lora: the adapter; None for full training.
        validation: examples of one validation.
        validation_batch: rows a validation forward.
        values: the value interface, where the model has one.
        device: type of the device; on a CPU short sequences attend by plain products, whose
            backward recomputes nothing.
        optimizer: of the training, as in `TrainConfig`.
    """

    def __init__(
        self,
        ledger: Ledger,
        stage: str,
        architecture: Architecture,
        lora: LoraSpec | None,
        validation: Sequence[Example] = (),
        validation_batch: int = 16,
        values: ValueSpec | None = None,
        device: str = "cpu",
        optimizer: str = "adamw",
    ) -> None:
        self.ledger, self.stage = ledger, stage
        self.architecture, self.lora, self.values = architecture, lora, values
        self.optimizer = optimizer
        self.convention = get_convention(ledger.convention)
        self._device = device
        self.validation_batch = validation_batch
        self.validation_flops = sum(
            self._forward(validation[i : i + validation_batch])
            for i in range(0, len(validation), validation_batch)
        )
        self._prices: dict[_Shape, float] = {}
        self._slice: tuple[str, list[float]] = "", []

    def _forward(self, rows: Sequence[Example]) -> float:
        shape = _Shape.of(rows)
        table = self.convention.forward(
            self.architecture,
            shape.rows,
            shape.length,
            lora=self.lora,
            head_positions=shape.scored,
            loss=True,
        )
        if self.values is not None and shape.embedded:
            table = table + self.values.forward(shape.embedded, shape.answered)
        return float(table.total)

    def step_flops(self, examples: Sequence[Example]) -> float:
        """One training step on these examples, padded as they will be: its update included."""
        shape = _Shape.of(examples)
        if shape not in self._prices:
            convention = self.convention
            if convention.name == "exact" and grouped_pays(self._device, shape.length):
                convention = get_convention("exact", attention="eager")
            lora = self.lora
            if lora is not None and not shape.embedded:  # nothing trained feeds the first layer
                lora = replace(lora, inputs_trained=False)
            table: CostTable = convention.train_step(
                self.architecture, shape.rows, shape.length, lora, shape.scored
            )
            if self.values is not None and shape.embedded:
                table = table + self.values.train_step(shape.embedded, shape.answered)
            table = table + self._update(shape)
            self._prices[shape] = float(table.total)
        return self._prices[shape]

    def _update(self, shape: _Shape) -> CostTable:
        values = self.values if shape.embedded else None
        trained = trained_parameters(
            self.architecture, self.lora, values, answered=shape.answered > 0
        )
        return self.convention.update(trained, self.optimizer)

    @property
    def remaining_flops(self) -> float:
        """What the ledger has left."""
        return self.ledger.remaining_flops

    def reserve_steps(self, start: int, block: Sequence[Sequence[Example]]) -> int:
        """Reserve as many of the next steps as fit; returns how many.

        Steps that ran before, in a process that ended before their checkpoint was written, run
        again and are paid again.

        Args:
            start: number of the first step, from 0.
            block: the examples of each step.

        Raises:
            BudgetExceeded: not one step fits.
        """
        prices = [self.step_flops(examples) for examples in block]
        room = self.ledger.remaining_flops
        count, total = 0, 0.0
        while count < len(prices) and math.ceil(total + prices[count]) <= room:
            total += prices[count]
            count += 1
        if count == 0:
            count, total = 1, prices[0]  # the ledger refuses in its own words
        key = f"{self.stage}/train/{start:08d}"
        entry = self.ledger.begin(key, total, stage=self.stage, kind="train")
        self._slice = entry.key, prices[:count]
        return count

    def settle_steps(self, begun: int) -> None:
        """Settle what was reserved last, for so many of its steps as have begun."""
        key, prices = self._slice
        self.ledger.settle(key, sum(prices[:begun]))

    @contextmanager
    def validation(self, step: int) -> Iterator[None]:
        """Charge one validation pass after `step` steps.

        Raises:
            BudgetExceeded: it does not fit.
        """
        key = f"{self.stage}/validation/{step:08d}"
        with self.ledger.charge(key, self.validation_flops, stage=self.stage, kind="validation"):
            yield

    def spent_by(self, step: int) -> float:
        """FLOPs of this stage on its way to `step`: training and validation, each run once.

        What ran again after an interruption is in the ledger's sums, and in `repeated_flops`; the
        forecasts of validation series are not training's.
        """
        last: dict[str, LedgerEntry] = {}
        for entry in self.ledger.entries("settled"):
            block, run = run_of(entry.key)
            if entry.stage != self.stage or entry.kind not in ("train", "validation"):
                continue
            if not block.startswith(f"{self.stage}/{entry.kind}/"):
                continue
            at = int(block.rsplit("/", 1)[1])
            known = last.get(block)
            if at < step + (entry.kind == "validation"):
                last[block] = entry if known is None or run > run_of(known.key)[1] else known
        return sum(entry.settled_flops or 0.0 for entry in last.values())
