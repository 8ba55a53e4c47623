"""Every error a user can meet, in one small tree.

    LoracastError
    ├── DataError          a file, frame or array that cannot be used as given
    ├── CodecError         numbers and symbols that do not fit each other
    ├── ModelError         a model that cannot be found, loaded or used safely
    ├── AdapterError       an adapter that does not belong to its base
    ├── ConfigError        a recipe or an option that says something impossible
    ├── BudgetExceeded     work that does not fit into the FLOPs budget
    ├── StorageError       a folder that cannot be written, or holds a broken state
    └── AnnotationError    an annotation or a teacher's answer that fails its checks

A message is one line: what was got, what was expected, where, and what to do.
The command line prints it and exits with code 2.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AdapterError",
    "AnnotationError",
    "BudgetExceeded",
    "CodecError",
    "ConfigError",
    "DamageWarning",
    "DataError",
    "LoracastError",
    "LoracastWarning",
    "ModelError",
    "StorageError",
    "faults_in_one_line",
]


class LoracastError(Exception):
    """The base of all errors that loracast raises on purpose."""

    exit_code = 2


class LoracastWarning(UserWarning):
    """Something was left out of the answer; the message names it."""


class DamageWarning(LoracastWarning):
    """Something on the disk is lost or damaged; the message says what is done instead."""


class DataError(LoracastError):
    """A file, frame or array cannot be used as given."""


class CodecError(LoracastError):
    """Numbers and symbols do not fit each other."""


class ModelError(LoracastError):
    """A model cannot be found, loaded or used safely."""


class AdapterError(LoracastError):
    """An adapter cannot be read, or does not belong to its base."""


class ConfigError(LoracastError):
    """A recipe or an option says something impossible."""


class BudgetExceeded(LoracastError):  # noqa: N818 - the public name since the design
    """The work does not fit into what is left of the FLOPs budget."""


class StorageError(LoracastError):
    """A folder cannot be written, or holds a broken state."""


class AnnotationError(LoracastError):
    """An annotation, or a teacher's answer, fails its checks."""


def faults_in_one_line(error: Any) -> str:
    """A pydantic report in one line: which field, what is wrong, what was got, of the first three.

    Args:
        error: a `pydantic.ValidationError`; of another exception, its own words.
    """
    if not hasattr(error, "error_count"):
        return " ".join(str(error).split())[:300]
    faults = error.errors(include_url=False)
    more = f"; {len(faults) - 3} more faults" if len(faults) > 3 else ""
    return "; ".join(map(_fault, faults[:3])) + more


def _fault(fault: Any) -> str:
    where = ".".join(map(str, fault["loc"]))
    message = " ".join(fault["msg"].removeprefix("Value error, ").split())
    if fault["type"] == "extra_forbidden":
        message = "no field has this name"
    got = ""
    if fault["type"] not in ("missing", "value_error", "json_invalid", "extra_forbidden"):
        text = " ".join(repr(fault["input"]).split())
        got = f" (got {text if len(text) <= 60 else text[:57] + '...'})"
    return f"{where + ': ' if where else ''}{message}{got}"
