"""`loracast data`: write synthetic series to a file, or say what a file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._options import (
    AsJson,
    File,
    IdCol,
    Seed,
    Sort,
    TargetCols,
    TimeCol,
    at_most,
    panel_of,
    whole,
)
from loracast.cli._output import check_target, print_json

if TYPE_CHECKING:
    from loracast.series import Panel

__all__ = ["app"]

MOST_STEPS = 100_000_000  # of all series together
SUFFIXES = (".h5", ".hdf5", ".csv", ".parquet", ".pq")

app = typer.Typer(help="Generate series, or describe a file of them.", no_args_is_help=True)

Count = Annotated[int, typer.Option("--n", help="Number of series to generate.")]
Steps = Annotated[int, typer.Option("--steps", help="Number of steps of each series.")]
Out = Annotated[Path, typer.Option("--out", help=f"File to write: {', '.join(SUFFIXES)}.")]


@app.command("lotka-volterra")
def lotka_volterra(
    out: Out, n: Count = 1000, seed: Seed = 0, steps: Steps = 100, as_json: AsJson = False
) -> None:
    """Predator-prey systems, a quarter of each regime, over 200 time units."""
    _check(out, n, seed, steps)
    from loracast.synthetic import generate_lotka_volterra

    _write(generate_lotka_volterra(n, seed, steps), out, as_json)


@app.command("ou")
def ou(
    out: Out, n: Count = 1000, seed: Seed = 0, steps: Steps = 100, as_json: AsJson = False
) -> None:
    """Ornstein-Uhlenbeck paths: noise that is pulled back to a mean."""
    _check(out, n, seed, steps)
    from loracast.synthetic import generate_ou

    _write(generate_ou(n, seed, steps), out, as_json)


@app.command("info")
def info(
    file: File,
    id_col: IdCol = None,
    time_col: TimeCol = None,
    target_cols: TargetCols = None,
    sort: Sort = False,
    as_json: AsJson = False,
) -> None:
    """Number of series, lengths, channels, missing values, regimes and hash of a file."""
    panel = panel_of(file, id_col, time_col, target_cols, sort)
    _report(_facts(panel, file), as_json)


def _check(out: Path, n: int, seed: int, steps: int) -> None:
    whole("--n", n)
    whole("--seed", seed, 0)
    whole("--steps", steps, 2)
    at_most(
        "--n x --steps",
        n * steps,
        MOST_STEPS,
        "so many steps of two channels fill 1.6 GB of memory",
    )
    check_target(out, SUFFIXES, "--out")


def _write(panel: Panel, out: Path, as_json: bool) -> None:
    from loracast.files import sha256_of_file
    from loracast.series import write_panel

    write_panel(panel, out)
    panel.meta["sha256"] = sha256_of_file(out)
    _report(_facts(panel, out), as_json)


def _facts(panel: Panel, file: Path) -> dict[str, Any]:
    """What `info` says; a regime per system only where the notion applies."""
    lengths = panel.lengths
    return {
        "file": str(file),
        "n_series": len(panel),
        "shortest_steps": int(lengths.min()),
        "longest_steps": int(lengths.max()),
        "total_steps": int(lengths.sum()),
        "channels": list(panel.channels),
        "missing_values": panel.n_missing,
        "regimes": _regimes(panel),
        "sha256": panel.meta["sha256"],
    }


def _regimes(panel: Panel) -> dict[str, int] | None:
    """Systems of each regime; None unless every series has two channels of positive numbers."""
    from loracast.errors import DataError
    from loracast.series import classify_regime
    from loracast.synthetic import REGIMES

    if panel.n_channels != 2:
        return None
    try:
        counts = Counter(classify_regime(values) for values in panel.values)
    except DataError:  # too short, a missing value, or one that is not positive
        return None
    return {name: counts[name] for name in REGIMES}


def _report(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    short, long = facts["shortest_steps"], facts["longest_steps"]
    regimes = facts["regimes"] or {}
    lines = {
        "file": facts["file"],
        "series": facts["n_series"],
        "steps": f"{short} each" if short == long else f"{short} to {long}",
        "channels": ", ".join(facts["channels"]),
        "missing": f"{facts['missing_values']} values",
        "regimes": ", ".join(f"{count} {name}" for name, count in regimes.items() if count),
        "sha256": facts["sha256"],
    }
    for name, value in lines.items():
        if value != "":
            typer.echo(f"{name:9} {value}")
