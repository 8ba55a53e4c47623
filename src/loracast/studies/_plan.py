"""A study's plan: what its stages will cost, for every choice that its search may come to.

Which rank and window are best is known only after the search, so each pair gets a plan of its own;
the run then spends what the plan of its pair says, within the range that all of them span.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from loracast.flops import Architecture, Plan, PlannedStage, parse_flops
from loracast.studies._pricing import Pricer
from loracast.studies._recipe import Recipe

__all__ = ["Choice", "StudyPlan", "plan_study"]


@dataclass(frozen=True)
class Choice:
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

    plans: Mapping[Choice, Plan]
    architecture: Architecture
    row_tokens: int
    lean: Mapping[Choice, Plan]

    @property
    def costliest(self) -> Choice:
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
    pricer = Pricer.open(recipe)
    full = pricer.full_window
    ranks = (recipe.adapter.rank,) if recipe.grid is None else tuple(sorted({*recipe.grid.rank}))
    windows = (full,) if recipe.contexts is None else tuple({*recipe.contexts.windows, full})
    before = _until_the_grid(pricer)
    # The largest come first: of choices that cost the same, those are named.
    choices = [Choice(r, w) for r in sorted(ranks)[::-1] for w in sorted(windows)[::-1]]
    plans = {c: _plan(pricer, before, c.rank, c.window) for c in choices}
    lean: dict[Choice, Plan] = {}
    if any(least < most for least, most in (stage.range_flops for stage in before)):
        lean = {c: _plan(pricer, before, c.rank, c.window, lean=True) for c in choices}
    longest = max(len(example) for example in pricer.source(full).batch(0))
    return StudyPlan(plans, pricer.architecture, longest, lean)


def _until_the_grid(pricer: Pricer) -> list[PlannedStage]:
    """The stages that no result changes."""
    recipe, full = pricer.recipe, pricer.full_window
    default = pricer.lora(recipe.adapter.rank)
    stages = [
        pricer.forecast("zero_shot"),
        pricer.train("default", recipe.default_steps, full, default),
    ]
    if recipe.grid is not None:
        for rate, rank in itertools.product(recipe.grid.learning_rate, recipe.grid.rank):
            for name in _repeated(f"grid.lr={rate:g},r={rank}", recipe.grid.repeats):
                stages.append(pricer.train(name, recipe.grid.steps, full, pricer.lora(rank)))
    return stages


def _plan(
    pricer: Pricer, before: list[PlannedStage], rank: int, window: int, *, lean: bool = False
) -> Plan:
    """All stages, given the rank that the grid and the window that the context stage choose.

    Where `lean`, stages before the final one cost their least, which leaves more for it.
    """
    recipe, full = pricer.recipe, pricer.full_window
    limit, lora = parse_flops(recipe.budget), pricer.lora(rank)
    stages = list(before)
    if recipe.contexts is not None:
        for width in sorted({*recipe.contexts.windows, full}):
            steps = round(recipe.contexts.steps * full / width)
            for name in _repeated(f"context.{width}", recipe.contexts.repeats):
                stages.append(pricer.train(name, steps, width, lora))
    if lean:
        stages = [replace(s, flops=s.range_flops[0], lowest_flops=None) for s in stages]
    searched = sum(s.flops for s in stages if s.name.split(".")[0] in ("grid", "context"))
    if recipe.grid is None:
        searched = 0.0
    once = pricer.forecast("", lora).flops + pricer.calibration("", lora).flops
    kept = once * (1 + len(recipe.rivals)) + searched * len(recipe.rivals)
    left = (limit - sum(s.flops for s in stages) - kept) * recipe.final_share
    steps = min(pricer.affordable(left, window, lora), recipe.max_final_steps)
    final = pricer.train("final", max(1, steps), window, lora)
    if steps < 1:  # the study refuses to begin it: what it would have to find for one step
        flops = final.flops / recipe.final_share
        final = PlannedStage("final", "train", 1, flops, final.fixed_flops)
    stages += [final, pricer.calibration("calibrate_final", lora), pricer.forecast("test")]
    for name in recipe.rivals:
        stages += _rival_search(pricer, name, searched, window)
        steps = max(1, pricer.affordable(final.flops, window, None))
        stages.append(pricer.train(name, steps, window, None))
        stages.append(pricer.calibration(f"calibrate_{name}"))
        stages.append(pricer.forecast(f"test_{name}"))
    stages = [stage for stage in stages if stage.flops > 0]
    return Plan(tuple(stages), limit)


def _repeated(name: str, repeats: int) -> list[str]:
    """Names of the trainings of one candidate."""
    return [name + (f",repeat={i}" if i else "") for i in range(repeats)]


def _rival_search(pricer: Pricer, name: str, flops: float, window: int) -> list[PlannedStage]:
    """A rival's search of its learning rate, with the FLOPs of the adapter's search."""
    grid = pricer.recipe.grid
    if grid is None:
        return []
    each = flops / (len(grid.learning_rate) * grid.repeats)
    steps = max(1, pricer.affordable(each, window, None))
    return [
        pricer.train(stage, steps, window, None)
        for rate in grid.learning_rate
        for stage in _repeated(f"search_{name}.lr={rate:g}", grid.repeats)
    ]
