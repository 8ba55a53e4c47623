"""What training steps and validations cost, and the ledger that must grant them first.

Knows lengths of batches and the FLOPs room, not models. Costs are those of the padded batch that
really runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loracast.flops import Architecture, CostTable, Ledger, LoraSpec, ValueSpec, get_convention
from loracast.tasks import IGNORED, Example
from loracast.training._attention import grouped_pays
from loracast.training._batches import padded_length
from loracast.training._loss import scored_positions

__all__ = ["Meter"]

RESERVED = "reserved"  # state of a ledger entry that is not settled yet


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

    Its `attempt` is 0, and n for work that is done a further time because its checkpoints were
    lost: such work has keys of its own, so that it is charged again.
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
    ) -> None:
        self.ledger, self.stage = ledger, stage
        self.architecture, self.lora, self.values = architecture, lora, values
        self.convention = get_convention(ledger.convention)
        self._device = device
        self.attempt = 0
        self.validation_batch = validation_batch
        self.validation_flops = sum(
            self._forward(validation[i : i + validation_batch])
            for i in range(0, len(validation), validation_batch)
        )
        self._prices: dict[_Shape, float] = {}

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
        """One training step on these examples, padded as they will be."""
        shape = _Shape.of(examples)
        if shape not in self._prices:
            convention = self.convention
            if convention.name == "exact" and grouped_pays(self._device, shape.length):
                convention = get_convention("exact", attention="eager")
            table: CostTable = convention.train_step(
                self.architecture, shape.rows, shape.length, self.lora, shape.scored
            )
            if self.values is not None and shape.embedded:
                table = table + self.values.train_step(shape.embedded, shape.answered)
            self._prices[shape] = float(table.total)
        return self._prices[shape]

    @property
    def remaining_flops(self) -> float:
        """What the ledger has left."""
        return self.ledger.remaining_flops

    def _key(self, start: int, kind: str = "train") -> str:
        again = f"again-{self.attempt}/" if self.attempt else ""
        return f"{self.stage}/{again}{kind}/{start:08d}"

    def reserve_steps(self, start: int, block: Sequence[Sequence[Example]]) -> int:
        """Reserve as many of the next steps as fit; returns how many.

        A block that a killed process had reserved is taken over as it stands.

        Raises:
            BudgetExceeded: not one step fits.
        """
        prices = [self.step_flops(examples) for examples in block]
        held = [e for e in self.ledger.entries(RESERVED) if e.key == self._key(start)]
        room = held[0].reserved_flops if held else self.ledger.remaining_flops
        count, total = 0, 0.0
        while count < len(prices) and total + prices[count] <= room * (1 + 1e-12):
            total += prices[count]
            count += 1
        if count == 0:
            count, total = 1, prices[0]  # the ledger refuses in its own words
        self.ledger.reserve(self._key(start), total, stage=self.stage, kind="train")
        return count

    def settle_before(self, step: int) -> None:
        """Settle every block of this stage whose steps a checkpoint holds."""
        for entry in self.ledger.entries(RESERVED):
            ours = entry.stage == self.stage and entry.kind == "train"
            if ours and int(entry.key.rsplit("/", 1)[1]) < step:
                self.ledger.settle(entry.key)

    @contextmanager
    def validation(self, step: int) -> Iterator[None]:
        """Charge one validation pass after `step` steps.

        Raises:
            BudgetExceeded: it does not fit.
        """
        key = self._key(step, "validation")
        with self.ledger.charge(key, self.validation_flops, stage=self.stage, kind="validation"):
            yield

    def spent_by(self, step: int) -> float:
        """FLOPs of this stage on its way to `step`: training and validation."""
        return sum(
            e.reserved_flops if e.settled_flops is None else e.settled_flops
            for e in self.ledger.entries()
            if e.stage == self.stage
            and e.kind in ("train", "validation")
            and int(e.key.rsplit("/", 1)[1]) <= step
        )
