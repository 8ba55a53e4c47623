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
from loracast.flops import format_flops

if TYPE_CHECKING:
    from loracast.studies import PlanTable

__all__ = ["plan"]


def plan(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="Recipe: a YAML file, or the name of one that ships. Default: study.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="CSV, Parquet or HDF5 file of series. Default: those of the recipe."
        ),
    ] = None,
    budget: Budget = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Base model: embedded, a folder, or the name of a known architecture."
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help="Measure how fast this machine trains, to estimate the time.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """List a study's stages, steps, FLOPs, shares and time; propose what fits."""
    from loracast.flops import parse_flops

    if budget is not None:
        parse_flops(budget)

    from loracast.studies import changed_recipe, load_recipe, plan_study, summarise_plan

    update: dict[str, Any] = {"budget": budget, "model": model}
    update["data"] = None if data is None else {"path": str(data)}
    chosen = changed_recipe(load_recipe(recipe), update)
    study, speeds = plan_study(chosen), None
    if measure:
        from loracast.cli._speed import measured_speeds

        speeds = measured_speeds(
            study.architecture,
            chosen.training.batch_size,
            study.row_tokens,
            chosen.samples,
            chosen.training.precision,
        )
    summary = summarise_plan(study, chosen, speeds)
    if as_json:
        print_json(summary.model_dump(mode="json"))
        return
    _show(f"{chosen.name} on {chosen.model}", summary)
    if len(summary.choices) > 1:
        assumed, (low, high) = summary.assumed, summary.total_range_flops
        typer.echo(
            f"assumed: rank {assumed['rank']} and a window of {assumed['window']} steps, "
            f"the costliest that the search may choose; in all {low:.3e} to {high:.3e} FLOPs"
        )
    if summary.largest_fit is not None:
        typer.echo(f"does not fit from stage {summary.unfit[0]!r} on; the largest plan that does:")
        _show("largest plan that fits", summary.largest_fit)
    elif summary.note:
        typer.echo(summary.note)


def _show(title: str, planned: PlanTable) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    open_ended = [s for s in planned.stages if s.highest_flops > 1.005 * s.lowest_flops]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    # The costliest choice is shown, so the other end of a range is the lowest.
    for name in ("steps", "FLOPs", *(("at least",) if open_ended else ()), "share", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for s, times in planned.once_each():
        least = _short(times * s.lowest_flops) if s in open_ended else ""
        table.add_row(
            s.name,
            f"{times} x {s.steps:,}" if times > 1 else f"{s.steps:,}",
            _short(times * s.flops),
            *((least,) if open_ended else ()),
            f"{100 * times * s.share:.1f} %",
            _clock(None if s.seconds is None else times * s.seconds),
        )
    Console(highlight=False).print(table)
    used, limit = planned.total_flops, planned.limit_flops
    typer.echo(
        f"planned: {format_flops(used)}, {100 * used / limit:.1f} % of {format_flops(limit)}"
    )
    if planned.seconds is not None:
        typer.echo(f"about {_clock(planned.seconds)} at the speed measured on this machine")


def _short(flops: float) -> str:
    return f"{flops:.2e}".replace("e+", "e")


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
