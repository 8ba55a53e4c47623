"""Sets of labelled series: generated with their latents, or read from a file of any known kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from loracast.annotation._described import FAMILIES as DESCRIBED_FAMILIES
from loracast.annotation._described import describe_chunk
from loracast.annotation._label_studio import write_label_studio
from loracast.annotation._label_studio_read import read_label_studio
from loracast.annotation._records import (
    AnnotatedSeries,
    read_published,
    read_records,
    write_published,
    write_records,
)
from loracast.errors import AnnotationError, ConfigError

__all__ = ["LABEL_FORMATS", "generate_labelled", "read_labelled", "write_labelled"]

LABEL_FORMATS = ("loracast", "published", "label-studio")
CHUNK = 64  # series a call of the generator; part of what a seed means
PEEK = 1 << 16  # characters: more than the keys of any first row


def generate_labelled(
    n: int,
    seed: int = 0,
    *,
    families: Sequence[str] | None = None,
    lengths: tuple[int, int] = (32, 1024),
    advance: Callable[[int], None] | None = None,
) -> list[AnnotatedSeries]:
    """Series with the facts of the latents they were built from.

    The first rows of a larger set of the same seed are those of a smaller one.

    Args:
        n: number of series, at least 1.
        seed: of everything random, at least 0.
        families: to choose from, each as likely; None is all.
        lengths: shortest and longest T, both included.
        advance: called with the number of series just made.

    Raises:
        ConfigError: n below 1.
        DataError: another argument outside its bounds.
    """
    if n < 1:
        raise ConfigError(f"got n={n}; expected 1 or more series")
    names = tuple(DESCRIBED_FAMILIES if families is None else families)
    out: list[AnnotatedSeries] = []
    while len(out) < n:
        start = len(out)
        chunk = describe_chunk(seed, start // CHUNK, CHUNK, lengths=lengths, families=names)
        for row, series in enumerate(chunk[: n - start], start):
            origin = {"generator": "described", "family": series.family, "seed": seed, "row": row}
            out.append(
                AnnotatedSeries(series.values, series.facts, f"{seed}-{row}", provenance=origin)
            )
        if advance:
            advance(len(out) - start)
    return out


def read_labelled(path: str | Path) -> list[AnnotatedSeries]:
    """The rows of a file in our format, the published one, or a Label Studio export.

    Which one it is, is told by its first characters: a list is a Label Studio export, rows with
    `schema_version` are ours, rows with `input` or `output` are published ones.

    Raises:
        AnnotationError: a file that cannot be read, is empty or none of these, or a row that is
            not as it should be, with its line and key.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            head = stream.read(PEEK)
            while head.strip() and "\n" not in head.lstrip() and (more := stream.read(PEEK)):
                head += more
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from error
    text = head.lstrip()
    if not text:
        raise AnnotationError(f"{path}: is empty; expected labelled series, one JSON object a line")
    if text.startswith("["):
        return read_label_studio(path)
    line = 1 + head[: len(head) - len(text)].count("\n")
    where = f"{path}, line {line}"
    try:
        first = json.loads(text.split("\n", 1)[0])
    except (ValueError, RecursionError) as error:
        what = "HTML" if text.startswith("<") else f"no JSON ({error})"
        raise AnnotationError(f"{where}: got {what}; {_EXPECTED}") from error
    if not isinstance(first, dict):
        raise AnnotationError(f"{where}: got {type(first).__name__}; {_EXPECTED}")
    if "schema_version" in first:
        return read_records(path)
    if {"input", "output"} & set(first):
        return read_published(path)
    raise AnnotationError(f"{where}: got the keys {', '.join(first)[:80] or 'none'}; {_EXPECTED}")


_EXPECTED = (
    "expected JSON lines with schema_version, values and facts, or with index, input and output, "
    "or a Label Studio export"
)


def write_labelled(
    path: str | Path, records: Sequence[AnnotatedSeries], form: str = "loracast"
) -> int:
    """Write rows as "loracast" or "published" JSON lines, or as "label-studio" tasks.

    Returns:
        The number of rows.

    Raises:
        ConfigError: another form.
        AnnotationError: a row that the form cannot hold, or a path that cannot be written.
    """
    writers = {
        "loracast": write_records,
        "published": write_published,
        "label-studio": write_label_studio,
    }
    if form not in writers:
        raise ConfigError(f"got the format {form!r}; expected one of {', '.join(LABEL_FORMATS)}")
    return writers[form](path, records)
