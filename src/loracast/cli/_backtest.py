"""`loracast backtest`: the adapted model beside its base and the classical methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._options import (
    AsJson,
    Budget,
    CodecName,
    File,
    IdCol,
    Samples,
    Seed,
    Sort,
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

__all__ = ["backtest"]

DEFAULT_CONTEXT, DEFAULT_HORIZON = 70, 30  # of the published studies
FILE_WIDTH = 120  # characters a line where no terminal says how many it has


def backtest(
    file: File,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="Folder of a fit or study.")
    ] = None,
    context: Annotated[
        int, typer.Option("--context", help="First steps that every method is given.")
    ] = DEFAULT_CONTEXT,
    horizon: Annotated[
        int, typer.Option("--horizon", help="Steps after them that are scored.")
    ] = DEFAULT_HORIZON,
    samples: Samples = 20,
    seed: Seed = 0,
    methods: Annotated[
        str | None, typer.Option("--methods", help="Names with commas between; default: all.")
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot/--no-zero-shot", help="Also score the bare base.")
    ] = True,
    train_data: Annotated[
        Path | None,
        typer.Option("--train-data", help="Other series, to train the global MLP on."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The base, where it is not the adapter's own.")
    ] = None,
    codec: CodecName = None,
    id_col: IdCol = None,
    time_col: TimeCol = None,
    target_cols: TargetCols = None,
    sort: Sort = False,
    budget: Budget = None,
    as_json: AsJson = False,
) -> None:
    """Score forecasts of held-out steps against every baseline."""
    whole("--samples", samples)
    whole("--seed", seed, 0)
    whole("--context", context, 2)
    whole("--horizon", horizon)
    if adapter is not None and codec is not None:
        raise ConfigError("got --adapter and --codec; an adapter brings its own codec: drop one")
    panel = panel_of(file, id_col, time_col, target_cols, sort)
    panel.require_length(
        context + horizon, f"a backtest with context {context} and horizon {horizon}"
    )
    train = None
    if train_data is not None:
        train = panel_of(train_data, id_col, time_col, target_cols, sort)
    names = split_names(methods)

    from loracast.api import METHODS, compare_methods

    if names is None:
        names = [m for m in METHODS if m != "adapted" or adapter is not None]
    if not zero_shot:
        names = [m for m in names if m != "zero_shot"]
    with Watcher() as watcher:
        rows = compare_methods(
            panel,
            context=context,
            horizon=horizon,
            adapter=adapter,
            model=model,
            codec=None if codec is None else {"name": codec},
            methods=names,
            samples=samples,
            seed=seed,
            budget=budget,
            train=train,
            watcher=watcher,
        )
    if as_json:
        print_json(rows)
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=FILE_WIDTH)
    console.print(table_of(rows, f"{len(panel)} series, context {context}"))
    for name, row in rows.items():
        if row["note"]:
            console.print(f"  {name}: {row['note']}", style="dim", soft_wrap=True, markup=False)
    console.print(conclusion(rows), soft_wrap=True, markup=False)


def _horizons(rows: dict[str, dict[str, Any]]) -> list[str]:
    keys = {key for row in rows.values() for key in row if key[0] == "h" and key[1:].isdigit()}
    return sorted(keys, key=lambda key: int(key[1:]))


def table_of(rows: dict[str, dict[str, Any]], title: str) -> Table:
    """The methods as a table: best of a column bold, the adapted model coloured."""
    from rich.table import Table

    horizons = _horizons(rows)
    last = horizons[-1]
    columns = [(f"MAE {key}", key, "mae") for key in horizons]
    columns += [(f"CRPS {last}", last, "crps")]
    table = Table(title=title, title_justify="left")
    table.add_column("method", no_wrap=True)
    for head, _, _ in columns:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("FLOPs", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    best = {}
    for head, key, metric in columns:
        known = [row[key][metric] for row in rows.values() if row[key][metric] is not None]
        best[head] = min(known, default=None)
    for name, row in rows.items():
        cells = [name]
        for head, key, metric in columns:
            value = row[key][metric]
            text = "-" if value is None else f"{value:.3g}"
            cells.append(
                f"[bold]{text}[/bold]" if value is not None and value == best[head] else text
            )
        cells.append("-" if row["flops"] is None else f"{row['flops']:.1e}")
        cells.append("-" if row["seconds"] is None else f"{row['seconds']:.1f}")
        table.add_row(*cells, style="cyan" if name == "adapted" else None)
    return table


def conclusion(rows: dict[str, dict[str, Any]]) -> str:
    """Who wins, in one sentence."""
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
