"""`loracast study`: a whole budgeted study, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from loracast.cli._options import AsJson, Budget, whole
from loracast.cli._output import print_json
from loracast.cli._progress import Watcher
from loracast.flops import parse_flops

__all__ = ["app"]

app = typer.Typer(help="Run a budgeted study, or write its report again.", no_args_is_help=True)


@app.command("run")
def run(
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
            "--data",
            help="CSV, Parquet or HDF5 file of series. Default: the recipe generates them.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the study to.")] = Path(
        "out/study"
    ),
    budget: Budget = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Base model: embedded, a folder or a hub id.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of all randomness.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--fresh", help="Continue the study that OUT holds, or start over."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run a study: zero-shot, default, grid, context length, final, test."""
    if budget is not None:
        parse_flops(budget)
    if seed is not None:
        whole("--seed", seed, 0)

    from loracast.studies import changed_recipe, load_recipe, run_study

    update: dict[str, Any] = {"budget": budget, "model": model, "seed": seed}
    update["data"] = None if data is None else {"path": str(data)}
    chosen = changed_recipe(load_recipe(recipe), update)
    with Watcher() as watcher:
        result = run_study(chosen, out, watcher, fresh=not resume)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    typer.echo(result.verdict)
    typer.echo(f"result: {out / 'result.json'}\nreport: {out / 'report.html'}")
    if (out / "adapter").is_dir():
        typer.echo(f"adapter: {out / 'adapter'}")


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study.")],
    as_json: AsJson = False,
) -> None:
    """Write report.html again from a study's result.json."""
    from loracast.studies import write_report

    path = write_report(folder)
    if as_json:
        print_json({"report": str(path)})
    else:
        typer.echo(f"report: {path}")
