"""Results onto stdout or into files, whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from loracast.errors import ConfigError, StorageError
from loracast.files import write_whole

__all__ = ["check_apart", "check_target", "finite", "print_json", "write_frame"]

FRAME_SUFFIXES = (".csv", ".parquet")


def check_target(path: Path | None, suffixes: Sequence[str], option: str) -> None:
    """Refuse an output file that could not be written, before any work is done.

    Args:
        path: the file, or None.
        suffixes: what it may end in.
        option: that named it, for the message.

    Raises:
        ConfigError: another suffix.
        StorageError: its folder does not exist or cannot be written, or it is no plain file.
    """
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{option} {path}: got suffix {path.suffix!r}; expected one of {', '.join(suffixes)}"
        )
    if path.exists() and not path.is_file():
        raise StorageError(f"{option} {path}: is no plain file; name another one")
    if not path.parent.is_dir():
        raise StorageError(f"{option} {path}: no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise StorageError(f"{option} {path}: folder {path.parent} cannot be written to")


def check_apart(files: Mapping[str, Path]) -> None:
    """Refuse two options that name the same file, also through links, before any work is done.

    Args:
        files: by the option that named each.

    Raises:
        ConfigError: one would be written over the other.
    """
    taken: dict[str, str] = {}
    for option, path in files.items():
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise ConfigError(
                f"{option} {path}: is the same file as {other}, and would replace it; name another "
                f"one with {option}"
            )


def write_frame(frame: Any, path: Path) -> None:
    """A pandas frame as CSV or Parquet, by the suffix."""
    if path.suffix.lower() == ".parquet":
        write_whole(path, lambda to: frame.to_parquet(to, index=False))
    else:
        write_whole(path, lambda to: frame.to_csv(to, index=False))


def print_json(value: Any) -> None:
    """One JSON document on stdout; numbers that are not finite become null."""
    typer.echo(json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False))


def finite(value: Any) -> Any:
    """The value as JSON types."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
        if isinstance(value, bool | int | str):
            return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
