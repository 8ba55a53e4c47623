"""Options that several commands share, and how they turn into a panel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loracast.errors import ConfigError

if TYPE_CHECKING:
    from loracast.ledger import Ledger
    from loracast.series import Panel

__all__ = [
    "AsJson",
    "Budget",
    "CodecName",
    "File",
    "IdCol",
    "LedgerAt",
    "LedgerName",
    "Samples",
    "Seed",
    "Sort",
    "Strict",
    "TargetCols",
    "TimeCol",
    "at_most",
    "ledger_at",
    "ledger_place",
    "panel_of",
    "split_names",
    "whole",
]

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, Parquet or HDF5 file of series.")]
IdCol = Annotated[
    str | None, typer.Option("--id-col", help="Column that holds the ids of the series.")
]
TimeCol = Annotated[str | None, typer.Option("--time-col", help="Column that holds the times.")]
TargetCols = Annotated[
    str | None,
    typer.Option(
        "--target-cols", help="Columns of values to forecast or describe, separated by commas."
    ),
]
Sort = Annotated[bool, typer.Option("--sort", help="Sort the rows of each series by time.")]
Samples = Annotated[int, typer.Option("--samples", help="Number of sampled paths of each series.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all randomness.")]
CodecName = Annotated[
    str | None,
    typer.Option(
        "--codec",
        help="Codec that turns numbers into what the model reads. Default: continuous, or "
        "compact where the model has no numeric head.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option("--budget", help="Most FLOPs that this command may spend, such as 1e15 or 2PF."),
]
LedgerAt = Annotated[
    str | None,
    typer.Option(
        "--ledger", help="Ledger to charge: a study folder, an SQLite file or a database URL."
    ),
]
LedgerName = Annotated[str, typer.Option("--ledger-name", help="Name of the ledger in a database.")]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Stop at a series that cannot be used instead of leaving it out."
    ),
]
Bare = Annotated[
    bool,
    typer.Option(
        "--bare", help="Use the base alone, without the annotator that ships with loracast."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def split_names(text: str | None) -> list[str] | None:
    """`a,b` as names; None stays None.

    Raises:
        ConfigError: an empty name.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ConfigError(f"got the names {text!r}; expected some with commas between, as in a,b")
    return names


def whole(name: str, number: int, least: int = 1) -> int:
    """A number that is not too small.

    Raises:
        ConfigError: it is.
    """
    if number < least:
        raise ConfigError(f"got {name} {number}; expected {least} or more")
    return number


@contextmanager
def ledger_at(where: str | None, name: str = "default") -> Iterator[Ledger | None]:
    """The open ledger of that place and name; None where none is named.

    Raises:
        StorageError, ConfigError: there is none.
    """
    if where is None:
        yield None
        return
    from loracast.ledger import Ledger

    with Ledger(ledger_place(where), name=name) as ledger:
        yield ledger


def ledger_place(where: str) -> str:
    """A file or URL as it stands; of a study's folder, the ledger in it."""
    inside = "://" not in where and Path(where).is_dir()
    return str(Path(where) / "ledger.sqlite") if inside else where


def at_most(name: str, number: int, most: int, reason: str) -> int:
    """A number that the machine can bear.

    Raises:
        ConfigError: it is larger; `reason` says why that is the bound.
    """
    if number > most:
        raise ConfigError(f"got {name} {number}; expected at most {most}: {reason}")
    return number


def panel_of(
    file: Path,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: str | None = None,
    sort: bool = False,
    strict: bool = True,
) -> Panel:
    """The series of a file; remarks of the loader go to stderr.

    Without `strict`, series that cannot be used may be left out, in `meta["skipped"]`.

    Raises:
        DataError: an unusable file.
    """
    from loracast.series import read_panel

    panel = read_panel(
        file,
        id_col=id_col,
        time_col=time_col,
        target_cols=split_names(target_cols),
        sort=sort,
        strict=strict,
    )
    notes = panel.meta.get("notes", ())
    for note in notes if isinstance(notes, tuple) else ():
        typer.echo(f"note: {file}: {note}", err=True)
    return panel
