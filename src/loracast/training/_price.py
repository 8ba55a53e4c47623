"""What training steps and validations cost: pure functions of the lengths of their batches.

Knows the FLOPs room, neither a ledger nor a model's weights. Costs are those of the padded batch
that really runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loracast.flops import (
    Architecture,
    CostTable,
    LoraSpec,
    NumericHeadSpec,
    get_convention,
    trained_parameters,
)
from loracast.training._attention import grouped_pays
from loracast.training._batches import padded_length
from loracast.training._example import IGNORED, Example
from loracast.training._loss import scored_positions

__all__ = ["VALIDATION_BATCH", "StepPricer"]

VALIDATION_BATCH = 16  # rows of a validation forward


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


class StepPricer:
    """The price of a training step and of a validation.

    Args:
        architecture: of the model as it runs (pruned vocabulary).
        lora: the adapter; None for full training.
        values: the numeric head, where the model has one.
        convention: how FLOPs are counted.
        device: type of the device; on a CPU short sequences attend by plain products, whose
            backward recomputes nothing.
        optimizer: of the training, as in `TrainConfig`.

    Raises:
        ConfigError: an unknown convention.
    """

    def __init__(
        self,
        architecture: Architecture,
        lora: LoraSpec | None = None,
        values: NumericHeadSpec | None = None,
        *,
        convention: str = "exact",
        device: str = "cpu",
        optimizer: str = "adamw",
    ) -> None:
        self.architecture, self.lora, self.values = architecture, lora, values
        self.convention = get_convention(convention)
        self.optimizer = optimizer
        self._device = device
        self._prices: dict[_Shape, float] = {}

    def validation_flops(self, examples: Sequence[Example], batch: int = VALIDATION_BATCH) -> float:
        """One validation on these examples, so many rows at a time."""
        starts = range(0, len(examples), batch)
        return sum(self._forward(examples[start : start + batch]) for start in starts)

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
