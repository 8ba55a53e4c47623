"""A study's plan: what its stages will cost, for every choice that its search may come to.

Which rank and window are best is known only after the search, so each pair gets a plan of its own;
the run then spends what the plan of its pair says, within the range that all of them span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loracast.flops import Architecture, Plan, PlannedStage, parse_flops
from loracast.studies._facts import Settings, StageId
from loracast.studies._pricing import Pricer
from loracast.studies._recipe import Recipe
from loracast.studies._stage import Outlook, Stage
from loracast.studies._stages import stages_of

__all__ = ["PlannedSettings", "StudyPlan", "plan_study"]


@dataclass(frozen=True)
class PlannedSettings:
    """What a search settles on, as far as it changes costs."""

    rank: int
    window: int


@dataclass(frozen=True)
class StudyPlan:
    """A plan for each choice of the search.

    Args:
        plans: choice -> stages in their order; stages before the choice are the same in all.
        architecture: of the model as it runs (pruned vocabulary).
        row_tokens: tokens of the longest row of a training batch.
        lean: the same choices where forecasts before the final stage cost their least, which
            leaves more for it; empty where a forecast's cost is sure.
    """

    plans: Mapping[PlannedSettings, Plan]
    architecture: Architecture
    row_tokens: int
    lean: Mapping[PlannedSettings, Plan]

    @property
    def costliest(self) -> PlannedSettings:
        """The choice whose plan spends most: if that one fits, all do."""
        return max(self.plans, key=lambda choice: self.plans[choice].total_flops)

    @property
    def plan(self) -> Plan:
        """The plan of the costliest choice."""
        return self.plans[self.costliest]

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Stage -> the least and the most it can cost over all choices; equal where it is sure."""
        spans: dict[str, tuple[float, float]] = {}
        for plan in (*self.plans.values(), *self.lean.values()):
            for stage in plan.stages:
                low, high = stage.range_flops
                known = spans.get(stage.name, (low, high))
                spans[stage.name] = min(low, known[0]), max(high, known[1])
        return spans

    @property
    def total_range(self) -> tuple[float, float]:
        """The least and the most that the whole study can cost."""
        plans = (*self.plans.values(), *self.lean.values())
        lows = [sum(s.range_flops[0] for s in plan.stages) for plan in plans]
        return min(lows), max(plan.total_flops for plan in plans)


def plan_study(recipe: Recipe) -> StudyPlan:
    """Price a study before it runs: real windows and prompts, no weights, no training.

    Args:
        recipe: what would run; its model may be a built-in shape whose weights are not here.

    Raises:
        LoracastError: data, codec or model cannot be used.
    """
    pricer, stages = Pricer.open(recipe), stages_of(recipe)
    plans, sure = _plans(pricer, stages)
    lean = {} if sure else _plans(pricer, stages, lean=True)[0]
    longest = max(len(example) for example in pricer.source(recipe.full_window).batch(0))
    return StudyPlan(plans, pricer.architecture, longest, lean)


def _plans(
    pricer: Pricer, stages: Sequence[Stage], *, lean: bool = False
) -> tuple[dict[PlannedSettings, Plan], bool]:
    """Walk the stages, once for each choice that they may come to.

    Where `lean`, stages before the final one cost their least, which leaves more for it.

    Returns:
        choice -> plan; and whether what these stages cost is sure.
    """
    recipe, sure = pricer.recipe, True
    limit = parse_flops(recipe.budget)
    branches: list[tuple[Settings, tuple[PlannedStage, ...]]] = [(Settings.of(recipe), ())]
    for i, stage in enumerate(stages):
        before = any(later.takes_what_is_left for later in stages[i + 1 :])
        grown = []
        for settings, planned in branches:
            costs = {StageId.read(entry.name): entry.flops for entry in planned}
            outlook = Outlook(pricer, settings, costs, limit - sum(e.flops for e in planned))
            priced = stage.price(outlook)
            if before:
                sure = sure and all(e.lowest_flops in (None, e.flops) for e in priced)
                if lean:
                    priced = [replace(e, flops=e.range_flops[0], lowest_flops=None) for e in priced]
            ways = stage.outcomes(recipe, settings)
            grown += [(way, (*planned, *priced)) for way in ways]
        branches = grown
    return {
        PlannedSettings(settings.rank, settings.window): Plan(
            tuple(e for e in planned if e.flops > 0), limit
        )
        for settings, planned in branches
    }, sure
