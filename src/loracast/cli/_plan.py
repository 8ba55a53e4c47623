"""`loracast plan`: what a recipe's stages will cost on a model, before anything is trained.

Prices the windows and prompts that the study would really use, with the same formulas as its
meter, and does not need the model's weights: a built-in shape such as Qwen/Qwen2.5-0.5B-Instruct
is priced with the token counts of the recipe's codec.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._options import AsJson, Budget
from loracast.cli._output import print_json
from loracast.errors import BudgetExceeded
from loracast.flops import Plan, format_flops

if TYPE_CHECKING:
    from loracast.studies import StudyPlan

__all__ = ["plan"]


def plan(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="Recipe: a YAML file, or the name of one that ships.  [default: study]",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="CSV, Parquet or HDF5 file of series.  [default: those of the recipe]"
        ),
    ] = None,
    budget: Budget = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Base model: embedded, a folder, or the name of a known architecture."
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Measure how fast this machine trains, to estimate the time.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """List a study's stages, steps, FLOPs, shares and time; propose what fits."""
    from loracast.flops import parse_flops

    if budget is not None:
        parse_flops(budget)

    from loracast.studies import changed_recipe, load_recipe, plan_study

    update: dict[str, Any] = {"budget": budget, "model": model}
    update["data"] = None if data is None else {"path": str(data)}
    chosen = changed_recipe(load_recipe(recipe), update)
    study = plan_study(chosen)
    planned = study.plan
    try:
        largest = None if planned.fits else planned.largest_fit()
        too_small = ""
    except BudgetExceeded as error:
        largest, too_small = None, str(error)
    speeds: dict[str, float] | None = None
    if calibrate:
        from loracast.cli._speed import measured_speeds

        speeds = measured_speeds(
            study.architecture,
            chosen.training.batch_size,
            study.row_tokens,
            chosen.samples,
            chosen.training.precision,
        )
    facts = _facts(planned, speeds, study.ranges()) | {
        "total_range_flops": study.total_range,
        "assumed": vars(study.costliest),
        "choices": _choices(study),
        "model": chosen.model,
        "convention": chosen.convention,
        "flops_per_second": speeds,
        "unfit": planned.unfit(),
        "largest_fit": None if largest is None else _facts(largest, speeds, {}),
        "note": too_small,
    }
    if as_json:
        print_json(facts)
        return
    _show(f"{chosen.name} on {chosen.model}", facts)
    if len(study.plans) > 1:
        low, high = study.total_range
        typer.echo(
            f"assumed: rank {study.costliest.rank} and a window of {study.costliest.window} steps, "
            f"the costliest that the search may choose; in all {low:.3e} to {high:.3e} FLOPs"
        )
    if largest is not None:
        typer.echo(
            f"does not fit from stage {planned.unfit()[0]!r} on; the largest plan that does:"
        )
        _show("largest plan that fits", facts["largest_fit"])
    elif too_small:
        typer.echo(too_small)


def _choices(study: StudyPlan) -> list[dict[str, Any]]:
    """The plan of every pair of rank and window that the search may choose."""
    return [
        {
            "rank": choice.rank,
            "window": choice.window,
            "total_flops": plan.total_flops,
            "stages": {s.name: {"steps": s.steps, "flops": s.flops} for s in plan.stages},
        }
        for choice, plan in study.plans.items()
    ]


def _facts(
    planned: Plan,
    speeds: dict[str, float] | None,
    ranges: dict[str, tuple[float, float]],
) -> dict[str, Any]:
    seconds = {} if speeds is None else planned.seconds(speeds)
    shares = planned.shares()
    return {
        "limit_flops": planned.limit_flops,
        "total_flops": planned.total_flops,
        "left_flops": planned.left_flops,
        "fits": planned.fits,
        "seconds": sum(seconds.values()) if seconds else None,
        "stages": [
            {
                "name": s.name,
                "kind": s.kind,
                "steps": s.steps,
                "flops": s.flops,
                "lowest_flops": ranges.get(s.name, s.range_flops)[0],
                "highest_flops": ranges.get(s.name, s.range_flops)[1],
                "share": shares[s.name],
                "seconds": seconds.get(s.name),
            }
            for s in planned.stages
        ],
    }


def _show(title: str, facts: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    open_ended = [s for s in facts["stages"] if s["highest_flops"] > 1.005 * s["lowest_flops"]]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    # The costliest choice is shown, so the other end of a range is the lowest.
    for name in ("steps", "FLOPs", *(("at least",) if open_ended else ()), "share", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for s, times in _once_each(facts["stages"]):
        least = _short(times * s["lowest_flops"]) if s in open_ended else ""
        table.add_row(
            s["name"],
            f"{times} x {s['steps']:,}" if times > 1 else f"{s['steps']:,}",
            _short(times * s["flops"]),
            *((least,) if open_ended else ()),
            f"{100 * times * s['share']:.1f} %",
            _clock(None if s["seconds"] is None else times * s["seconds"]),
        )
    Console(highlight=False).print(table)
    used, limit = facts["total_flops"], facts["limit_flops"]
    typer.echo(
        f"planned: {format_flops(used)}, {100 * used / limit:.1f} % of {format_flops(limit)}"
    )
    if facts["seconds"] is not None:
        typer.echo(f"about {_clock(facts['seconds'])} at the speed measured on this machine")


def _once_each(stages: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Each stage and how often it is planned: trainings that only differ in their seed in one."""
    times: dict[str, int] = {}
    for stage in stages:
        name = stage["name"].partition(",repeat=")[0]
        times[name] = times.get(name, 0) + 1
    return [(s, times[s["name"]]) for s in stages if s["name"] in times]


def _short(flops: float) -> str:
    return f"{flops:.2e}".replace("e+", "e")


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
