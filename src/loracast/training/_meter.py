"""The ledger that must grant training steps and validations before they run.

Knows the prices of a `StepPricer` and one stage of a ledger, not models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from loracast.errors import ConfigError
from loracast.ledger import Key, Ledger
from loracast.training._example import Example
from loracast.training._price import StepPricer

__all__ = ["SLICE", "Meter"]

# Steps that are reserved and settled together; a process that is killed is charged for all of the
# slice it was in, at most so many steps less one that it did not run.
SLICE = 5


class Meter:
    """Reserves and settles the work of one training stage.

    Args:
        pricer: of the model that is trained.
        ledger: of the study.
        stage: its name there.
        validation: examples of one validation.

    Raises:
        ConfigError: pricer and ledger count by different conventions.
    """

    def __init__(
        self, pricer: StepPricer, ledger: Ledger, stage: str, validation: Sequence[Example] = ()
    ) -> None:
        if pricer.convention.name != ledger.convention:
            raise ConfigError(
                f"ledger {ledger.location} counts by {ledger.convention!r}, these prices are by "
                f"{pricer.convention.name!r}; give both the same convention"
            )
        self.pricer, self.ledger, self.stage = pricer, ledger, stage
        self.validation_flops = pricer.validation_flops(validation)
        self._slice: tuple[str, list[float]] = "", []

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
        prices = [self.pricer.step_flops(examples) for examples in block]
        room = self.ledger.remaining_flops
        count, total = 0, 0.0
        while count < len(prices) and math.ceil(total + prices[count]) <= room:
            total += prices[count]
            count += 1
        if count == 0:
            count, total = 1, prices[0]  # the ledger refuses in its own words
        key = Key.of_step(self.stage, "train", start)
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
        key = Key.of_step(self.stage, "validation", step)
        with self.ledger.charge(key, self.validation_flops, stage=self.stage, kind="validation"):
            yield

    def spent_by(self, step: int) -> float:
        """FLOPs of this stage on its way to `step`: training and validation, each run once.

        What ran again after an interruption is in the ledger's sums, and in `repeated_flops`; the
        forecasts of validation series are not training's.
        """
        settled = [(Key.parse(entry.key), entry) for entry in self.ledger.entries("settled")]
        last = {
            key.block: entry
            for key, entry in sorted(settled, key=lambda each: each[0].run)
            if key.stage == entry.stage == self.stage
            and key.kind == entry.kind in ("train", "validation")
            and key.step < step + (key.kind == "validation")
        }
        return sum(entry.settled_flops or 0.0 for entry in last.values())
