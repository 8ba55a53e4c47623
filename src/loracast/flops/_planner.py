"""A plan: what a study will spend, stage by stage, before it runs.

Pure arithmetic on stages that others have priced. It knows no recipe and no model; speed comes
from a calibration that the caller measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loracast.errors import BudgetExceeded, ConfigError
from loracast.flops._units import format_flops

__all__ = ["Plan", "PlannedStage"]


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan.

    Args:
        name: as the ledger will call it.
        kind: `train`, `generate`, ...
        steps: optimiser steps, or 1 for a stage that cannot be cut.
        flops: all it costs.
        fixed_flops: the part that does not shrink with the steps (a last validation, say).
        scalable: whether fewer steps are an answer to a small budget.
        lowest_flops: the least it can cost, where `flops` is only the most; None where it is sure.
    """

    name: str
    kind: str
    steps: int
    flops: float
    fixed_flops: float = 0.0
    scalable: bool = True
    lowest_flops: float | None = None

    def __post_init__(self) -> None:
        lowest = self.flops if self.lowest_flops is None else self.lowest_flops
        if (
            self.steps < 1
            or not 0 <= self.fixed_flops <= self.flops
            or not 0 <= lowest <= self.flops
        ):
            raise ConfigError(
                f"plan: stage {self.name!r} has steps={self.steps}, flops={self.flops:.3g}, "
                f"fixed_flops={self.fixed_flops:.3g}, lowest_flops={lowest:.3g}; expected steps "
                "of 1 or more, and the last two from 0 to flops"
            )

    @property
    def range_flops(self) -> tuple[float, float]:
        """The least and the most it can cost; equal where that is sure."""
        return (self.flops if self.lowest_flops is None else self.lowest_flops), self.flops

    @property
    def flops_per_step(self) -> float:
        """What one more step costs."""
        return (self.flops - self.fixed_flops) / self.steps

    def with_steps(self, steps: int) -> PlannedStage:
        """The same stage with another number of steps."""
        flops = self.fixed_flops + steps * self.flops_per_step
        lowest = self.lowest_flops
        if lowest is not None:  # what is unsure is not the steps
            lowest = max(0.0, lowest + flops - self.flops)
        return replace(self, steps=steps, flops=flops, lowest_flops=lowest)


@dataclass(frozen=True)
class Plan:
    """Stages in the order they run, and the budget they must fit into."""

    stages: Sequence[PlannedStage]
    limit_flops: float

    @property
    def total_flops(self) -> float:
        """What all stages cost."""
        return float(sum(stage.flops for stage in self.stages))

    @property
    def left_flops(self) -> float:
        """What the plan leaves of the budget; negative when it does not fit."""
        return self.limit_flops - self.total_flops

    @property
    def fits(self) -> bool:
        """Whether every stage can run to its end."""
        return self.total_flops <= self.limit_flops

    def shares(self) -> dict[str, float]:
        """Stage -> its part of the budget (1 is all of it)."""
        return {stage.name: stage.flops / self.limit_flops for stage in self.stages}

    def unfit(self) -> list[str]:
        """Stages that cannot run to their end, in order: the first is where a run would stop."""
        spent, names = 0.0, []
        for stage in self.stages:
            spent += stage.flops
            if spent > self.limit_flops:
                names.append(stage.name)
        return names

    def seconds(self, flops_per_second: float | Mapping[str, float]) -> dict[str, float]:
        """Stage -> estimated wall time.

        Args:
            flops_per_second: measured speed, one for all or one by kind.
        """
        speeds = flops_per_second
        return {
            s.name: s.flops / (speeds[s.kind] if isinstance(speeds, Mapping) else speeds)
            for s in self.stages
        }

    def largest_fit(self) -> Plan:
        """The largest plan within the budget: scalable stages cut in equal proportion.

        Raises:
            BudgetExceeded: not even one step of every stage fits.
        """
        if self.fits:
            return self
        smallest = self._scaled(0.0)
        if not smallest.fits:
            raise BudgetExceeded(
                f"plan: one step of every stage needs {format_flops(smallest.total_flops)}, the "
                f"budget is {format_flops(self.limit_flops)}; raise it, or plan fewer stages, "
                "samples or series"
            )
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._scaled(middle).fits else (low, middle)
        return self._scaled(low)

    def _scaled(self, factor: float) -> Plan:
        stages = [
            s.with_steps(max(1, int(s.steps * factor))) if s.scalable else s for s in self.stages
        ]
        return replace(self, stages=stages)
