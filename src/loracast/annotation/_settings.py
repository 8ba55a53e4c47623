"""What an annotator needs beside its adapter: `annotator.json` in its folder.

Knows the file alone, neither models nor series.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from loracast.annotation._fields import LABEL_FIELDS
from loracast.errors import AdapterError, faults_in_one_line

__all__ = [
    "ANNOTATOR_FILE",
    "LONGEST_SERIES",
    "SHORTEST_SERIES",
    "AnnotatorSettings",
    "read_settings",
]

ANNOTATOR_FILE = "annotator.json"
FORMAT_VERSION = 2
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# The longest series by form: what the embedded base has described in its pretraining; what the
# generator of described series goes up to.
LONGEST_SERIES = {"continuous": 256, "digits": 256, "measured": 1024}
SHORTEST_SERIES = 32  # that the embedded base has described in its pretraining


class AnnotatorSettings(BaseModel):
    """What an annotator needs beside its adapter; `annotator.json` in its folder.

    Args:
        format_version: of this file and of how series are shown; an adapter learned one way of
            showing them.
        numbers: how the series enters, one of `tasks.annotation.NUMBER_FORMS`.
        fields: of an answer.
        max_points: the longest series it was made for.
        min_points: the shortest series it learned from; of a shorter one it knows less.
        temperatures: by label field, what its log probabilities are divided by.
        scales: by other field, (a, b) of its Platt scaling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    numbers: str = "continuous"
    fields: tuple[str, ...] = LABEL_FIELDS
    max_points: int = Field(default=256, ge=2)
    min_points: int = Field(default=SHORTEST_SERIES, ge=2)
    temperatures: dict[str, Temperature] = {}
    scales: dict[str, tuple[FiniteFloat, FiniteFloat]] = {}


def read_settings(folder: Path) -> AnnotatorSettings:
    """The settings beside an annotator's adapter.

    Raises:
        AdapterError: missing, broken, or of another format.
    """
    path = Path(folder) / ANNOTATOR_FILE
    if not path.is_file():
        raise AdapterError(
            f"{folder} holds no {ANNOTATOR_FILE}; expected a folder written by "
            "loracast annotations train (or Annotator.save)"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = data.get("format_version") if isinstance(data, dict) else None
        if found != FORMAT_VERSION:
            raise AdapterError(
                f"{path} has format {found}; this version reads {FORMAT_VERSION}: train the "
                "annotator again, or use the version of loracast that wrote it"
            )
        return AnnotatorSettings.model_validate(data)
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{path} is not a valid annotator: {faults_in_one_line(error)}"
        ) from error
