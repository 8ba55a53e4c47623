"""Settings as pydantic models, or one line that says what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from loracast.errors import ConfigError

__all__ = ["validated"]

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A pydantic model, or one line that says what does not fit.

    Raises:
        ConfigError: unknown field or impossible value.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        got = "" if first["type"] == "missing" else f" (got {first['input']!r})"
        known = ", ".join(model.model_fields)
        hint = f"; known are {known}" if first["type"] == "extra_forbidden" else ""
        message = " ".join(first["msg"].split())
        raise ConfigError(f"{model.__name__}.{where}: {message}{got}{hint}") from error
