"""What training steps and validations cost, and the ledger that must grant them first.

Knows lengths of batches and the FLOPs room, not models. Costs are those of the padded batch that
really runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from loracast.flops import Architecture, Ledger, LoraSpec, get_convention
from loracast.tasks import Example

__all__ = ["Meter"]

RESERVED = "reserved"  # state of a ledger entry that is not settled yet


class Meter:
    """Prices and reserves the work of one training stage.

    Args:
        ledger: of the study.
        stage: its name there.
        architecture: of the model as it runs (pruned vocabulary).
        lora: the adapter; None for full training.
        validation: examples of one validation.
        validation_batch: rows a validation forward.
    """

    def __init__(
        self,
        ledger: Ledger,
        stage: str,
        architecture: Architecture,
        lora: LoraSpec | None,
        validation: Sequence[Example] = (),
        validation_batch: int = 16,
    ) -> None:
        self.ledger, self.stage = ledger, stage
        self.architecture, self.lora = architecture, lora
        self.convention = get_convention(ledger.convention)
        self.validation_batch = validation_batch
        self.validation_flops = sum(
            self._forward(validation[i : i + validation_batch])
            for i in range(0, len(validation), validation_batch)
        )
        self._prices: dict[tuple[int, int], float] = {}

    def _forward(self, rows: Sequence[Example]) -> float:
        length = max(len(r) for r in rows)
        table = self.convention.forward(
            self.architecture, len(rows), length, lora=self.lora, loss=True
        )
        return float(table.total)

    def step_flops(self, examples: Sequence[Example]) -> float:
        """One training step on these examples, padded as they will be."""
        shape = (len(examples), max(len(e) for e in examples))
        if shape not in self._prices:
            table = self.convention.train_step(self.architecture, *shape, self.lora)
            self._prices[shape] = float(table.total)
        return self._prices[shape]

    @property
    def remaining_flops(self) -> float:
        """What the ledger has left."""
        return self.ledger.remaining_flops

    def _key(self, start: int) -> str:
        return f"{self.stage}/train/{start:08d}"

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
        key = f"{self.stage}/validation/{step:08d}"
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
