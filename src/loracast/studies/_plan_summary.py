"""A plan as a record: what `loracast plan` shows and prints as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from loracast.errors import BudgetExceeded
from loracast.flops import Plan
from loracast.studies._facts import StageId
from loracast.studies._plan import StudyPlan
from loracast.studies._recipe import Recipe
from loracast.studies._schema import Record

__all__ = ["PlanSummary", "PlanTable", "PlannedRow", "summarise_plan"]

Speeds = Mapping[str, float]


class PlannedRow(Record):
    """A planned stage.

    Args:
        flops: in this plan; the range is over all choices of the search.
        share: of the budget, 1 is all of it.
        seconds: at the speed measured; null where none was.
    """

    name: str
    kind: str
    steps: int
    flops: float
    lowest_flops: float
    highest_flops: float
    share: float
    seconds: float | None


class PlanTable(Record):
    """All stages of one plan, and the budget they must fit into."""

    limit_flops: float
    total_flops: float
    left_flops: float
    fits: bool
    seconds: float | None
    stages: tuple[PlannedRow, ...]

    def once_each(self) -> list[tuple[PlannedRow, int]]:
        """Rows and how often each is planned: trainings that differ only in their seed in one."""
        names = [StageId.read(row.name) for row in self.stages]
        same = [(name.group, name.label) for name in names]
        return [
            (row, same.count((name.group, name.label)))
            for row, name in zip(self.stages, names, strict=True)
            if not name.repeat
        ]


class PlannedSteps(Record):
    """Steps and FLOPs of a stage."""

    steps: int
    flops: float


class PlannedChoice(Record):
    """The plan of a pair of rank and window that the search may choose."""

    rank: int
    window: int
    total_flops: float
    stages: dict[str, PlannedSteps]


class PlanSummary(PlanTable):
    """The plan of the costliest choice, and what is known of the others.

    Args:
        total_range_flops: the least and the most that the whole study can cost.
        assumed: the costliest rank and window.
        flops_per_second: measured speed by kind of work.
        unfit: stages that cannot run to their end.
        largest_fit: the largest plan within the budget, where this one is not.
        note: why there is none.
    """

    total_range_flops: tuple[float, float]
    assumed: dict[str, int]
    choices: tuple[PlannedChoice, ...]
    model: str
    convention: str
    flops_per_second: dict[str, float] | None
    unfit: tuple[str, ...]
    largest_fit: PlanTable | None
    note: str


def _table(
    plan: Plan, speeds: Speeds | None, ranges: Mapping[str, tuple[float, float]]
) -> PlanTable:
    seconds = {} if speeds is None else plan.seconds(speeds)
    shares = plan.shares()
    rows = []
    for stage in plan.stages:
        low, high = ranges.get(stage.name, stage.range_flops)
        rows.append(
            PlannedRow(
                name=stage.name,
                kind=stage.kind,
                steps=stage.steps,
                flops=stage.flops,
                lowest_flops=low,
                highest_flops=high,
                share=shares[stage.name],
                seconds=seconds.get(stage.name),
            )
        )
    return PlanTable(
        limit_flops=plan.limit_flops,
        total_flops=plan.total_flops,
        left_flops=plan.left_flops,
        fits=plan.fits,
        seconds=sum(seconds.values()) if seconds else None,
        stages=tuple(rows),
    )


def summarise_plan(study: StudyPlan, recipe: Recipe, speeds: Speeds | None) -> PlanSummary:
    """What a plan says, the largest one that fits where it does not.

    Args:
        study: of the recipe.
        recipe: what would run.
        speeds: FLOPs per second by kind of work, as measured; None for no times.
    """
    plan, largest, note = study.plan, None, ""
    try:
        largest = None if plan.fits else _table(plan.largest_fit(), speeds, {})
    except BudgetExceeded as error:
        note = str(error)
    return PlanSummary(
        **dict(_table(plan, speeds, study.ranges())),
        total_range_flops=study.total_range,
        assumed=vars(study.costliest),
        choices=tuple(
            PlannedChoice(
                **vars(choice),
                total_flops=other.total_flops,
                stages={s.name: PlannedSteps(steps=s.steps, flops=s.flops) for s in other.stages},
            )
            for choice, other in study.plans.items()
        ),
        model=recipe.model,
        convention=recipe.convention,
        flops_per_second=None if speeds is None else dict(speeds),
        unfit=tuple(plan.unfit()),
        largest_fit=largest,
        note=note,
    )
