"""`loracast backtest`: the adapted model beside its base and the classical methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from loracast.cli._options import (
    AsJson,
    Budget,
    CodecName,
    File,
    IdCol,
    Samples,
    Seed,
    Sort,
    Strict,
    TargetCols,
    TimeCol,
    panel_of,
    split_names,
    whole,
)
from loracast.cli._output import print_json
from loracast.cli._progress import Watcher
from loracast.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BacktestCommand", "backtest"]

DEFAULT_HORIZON = 30  # of the published studies
FILE_WIDTH = 120  # characters a line where no terminal says how many it has


class BacktestCommand(TyperCommand):
    """The command whose help names all methods; the registry is read when help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, the names of the methods within it."""
        from loracast.evaluation import COMPARED

        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "methods":
                known = ", ".join(COMPARED)
                option.help = (
                    f"Methods to score, separated by commas: some of {known}. Default: all."
                )
        super().format_help(ctx, formatter)


def backtest(
    file: File,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="Folder of a fit or study whose adapter is scored."),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            help="Steps before each origin that every method is given. Default: what the model "
            "reads, or all.",
        ),
    ] = None,
    horizon: Annotated[
        int,
        typer.Option("--horizon", help="Number of steps after each origin to forecast and score."),
    ] = DEFAULT_HORIZON,
    windows: Annotated[
        int,
        typer.Option(
            "--windows",
            help="Number of rolling origins of each series; the last forecast ends with the "
            "series.",
        ),
    ] = 1,
    step: Annotated[
        int | None,
        typer.Option("--step-size", help="Number of steps between origins. Default: the horizon."),
    ] = None,
    season: Annotated[
        int | None,
        typer.Option(
            "--season",
            help="Number of steps in a season. Default: from the dates, or else found in "
            "the contexts.",
        ),
    ] = None,
    seen: Annotated[
        str,
        typer.Option(
            "--seen",
            help="Steps that the adapter was trained on: auto (left out where others are left, "
            "else labelled), label, drop or refuse.",
        ),
    ] = "auto",
    samples: Samples = 20,
    seed: Seed = 0,
    methods: Annotated[
        str | None,
        typer.Option("--methods", help="Methods to score, separated by commas. Default: all."),
    ] = None,
    zero_shot: Annotated[
        bool,
        typer.Option("--zero-shot/--no-zero-shot", help="Also score the base without an adapter."),
    ] = True,
    train_data: Annotated[
        Path | None,
        typer.Option("--train-data", help="File of other series to train the global MLP on."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Base model. Default: that of the adapter, or embedded."),
    ] = None,
    codec: CodecName = None,
    id_col: IdCol = None,
    time_col: TimeCol = None,
    target_cols: TargetCols = None,
    sort: Sort = False,
    strict: Strict = False,
    budget: Budget = None,
    as_json: AsJson = False,
) -> None:
    """Score forecasts of the ends of all series against every baseline."""
    whole("--samples", samples)
    whole("--seed", seed, 0)
    if context is not None:
        whole("--context", context, 2)
    whole("--horizon", horizon)
    whole("--windows", windows)
    if step is not None:
        whole("--step-size", step)
    if season is not None:
        whole("--season", season)
    if adapter is not None and codec is not None:
        raise ConfigError("got --adapter and --codec; an adapter brings its own codec: drop one")
    panel = panel_of(file, id_col, time_col, target_cols, sort, strict)
    train = None
    if train_data is not None:
        train = panel_of(train_data, id_col, time_col, target_cols, sort)
    names = split_names(methods)

    from loracast.forecasting import backtest_panel

    with Watcher() as watcher:
        found = backtest_panel(
            panel,
            context=context,
            horizon=horizon,
            windows=windows,
            step=step,
            season=season,
            seen=seen,
            strict=strict,
            adapter=adapter,
            model=model,
            codec=None if codec is None else {"name": codec},
            methods=names,
            without=() if zero_shot else ("zero_shot",),
            samples=samples,
            seed=seed,
            budget=budget,
            train=train,
            watcher=watcher,
        )
    rows, about = found.rows, found.facts
    if as_json:
        print_json(rows | {"about": about})
    for note in about["notes"]:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=FILE_WIDTH)
    console.print(table_of(rows, title_of(about)))
    for name, row in rows.items():
        if row["note"]:
            console.print(f"  {name}: {row['note']}", style="dim", soft_wrap=True, markup=False)
    trained_on = bool(about["seen"] and about["seen"]["scored_on_training_data"])
    console.print(conclusion(rows, trained_on), soft_wrap=True, markup=False)


def title_of(about: dict[str, Any]) -> str:
    """What was scored, in one line."""
    season = about["season"]
    parts = [f"{about['n_series']} series"]
    if about["windows"] > 1:
        parts.append(f"{about['n_forecasts']} forecasts from {about['windows']} origins each")
    if about["context"] is not None:
        parts.append(f"context {about['context']}")
    elif about["most_context"] is not None:
        parts.append(f"context up to {about['most_context']}, as the model reads")
    else:
        parts.append("context all that is known")
    parts.append(f"the last {about['horizon']} steps scored")
    if season["steps"]:
        which = ", ".join(map(str, season["steps"][:3])) + (", ..." * (len(season["steps"]) > 3))
        parts.append(f"season {which} ({season['from']})")
    text = ", ".join(parts)
    if about["seen"] and about["seen"]["scored_on_training_data"]:
        text += "; ON SERIES THE ADAPTER WAS TRAINED ON"
    return text


def _horizons(rows: dict[str, dict[str, Any]]) -> list[str]:
    keys = {key for row in rows.values() for key in row if key[0] == "h" and key[1:].isdigit()}
    return sorted(keys, key=lambda key: int(key[1:]))


def table_of(rows: dict[str, dict[str, Any]], title: str) -> Table:
    """The methods as a table: best of a column bold, the adapted model coloured."""
    from rich import box
    from rich.table import Table

    from loracast.evaluation import ADAPTED, METRICS

    horizons = _horizons(rows)
    last = horizons[-1]
    shown = {"every horizon": horizons, "longest horizon": [last], "none": []}
    columns = [
        (f"{metric.label} {key}", key, metric)
        for metric in METRICS.values()
        for key in shown[metric.columns]
    ]
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )
    table.add_column("method", no_wrap=True)
    for head, _, _ in columns:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("FLOPs", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    best = {}
    for head, key, metric in columns:
        scores = [row[key][metric.name] for row in rows.values()]
        best[head] = metric.best([score for score in scores if score is not None])
    for name, row in rows.items():
        cells = [name]
        for head, key, metric in columns:
            value = row[key][metric.name]
            text = "-" if value is None else f"{value:.3g}"
            cells.append(
                f"[bold]{text}[/bold]" if value is not None and value == best[head] else text
            )
        cells.append("-" if row["flops"] is None else f"{row['flops']:.1e}")
        seconds = row["seconds"]
        cells.append("-" if seconds is None else f"{seconds:.{0 if seconds >= 100 else 1}f}")
        table.add_row(*cells, style="cyan" if name == ADAPTED.name else None)
    return table


def conclusion(rows: dict[str, dict[str, Any]], trained_on: bool = False) -> str:
    """Who wins, in one sentence, and who could not be scored.

    Args:
        rows: method -> row.
        trained_on: whether the adapter has seen what is scored.
    """
    text = _winners(rows)
    unscored = [
        name
        for name, row in rows.items()
        if all(row[key]["mae"] is None for key in _horizons(rows))
    ]
    if unscored and len(unscored) < len(rows):
        text += f" Not scored: {', '.join(unscored)}."
    if trained_on and "adapted" in rows:
        text += " The adapter was trained on what is scored: this is no test of it."
    return text


def _winners(rows: dict[str, dict[str, Any]]) -> str:
    winners: dict[str, list[str]] = {}
    for key in _horizons(rows):
        known = {n: row[key]["mae"] for n, row in rows.items() if row[key]["mae"] is not None}
        if known:
            winners.setdefault(min(known, key=lambda n: known[n]), []).append(key)
    if not winners:
        return "No method could be scored."
    parts = [f"{name} ({', '.join(keys)})" for name, keys in winners.items()]
    text = f"Lowest MAE: {'; '.join(parts)}"
    if "adapted" not in rows or len(rows) == 1:
        return text + "."
    last = _horizons(rows)[-1]
    ours = rows["adapted"][last]["mae"]
    others = [r[last]["mae"] for n, r in rows.items() if n != "adapted"]
    scored = [mae for mae in others if mae is not None]
    if ours is None or not scored:
        return text + "."
    beaten = sum(ours < mae for mae in scored)
    return f"{text}; at {last} the adapted model beats {beaten} of {len(scored)} other methods."
