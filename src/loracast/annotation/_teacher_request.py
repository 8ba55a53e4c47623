"""What a teacher behind a server is asked: the meaning of the words, and always the series.

The series is drawn or written here from its values. Knows neither servers nor costs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import Any

import numpy as np

from loracast.annotation._facts import EXTREMUM_REGIONS, NOISE_LEVELS, TREND_LABELS
from loracast.annotation._prompt import series_text

__all__ = ["ANSWER_SCHEMA", "FORMATS", "SeriesQuestion"]

_LABELS = {
    "trend": TREND_LABELS,
    "noise": NOISE_LEVELS,
    "max": EXTREMUM_REGIONS,
    "min": EXTREMUM_REGIONS,
}
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string", "enum": list(v)} for name, v in _LABELS.items()},
    "required": list(_LABELS),
    "additionalProperties": False,
}
# What a request says for each format of an answer, the best one first.
FORMATS: dict[str, dict[str, Any]] = {
    "json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "annotation", "strict": True, "schema": ANSWER_SCHEMA},
        }
    },
    "json_object": {"response_format": {"type": "json_object"}},
    "text": {},
}
INSTRUCTION = (
    "Describe the time series {where}, with {length} points.\n"
    "trend: increasing, decreasing or flat. The overall change of level from start to end, without "
    "noise and season, over the range (maximum minus minimum); flat if under a fifth.\n"
    "noise: low, medium or high. The standard deviation of the irregular part over the range; low "
    "under 0.02, high over 0.06.\n"
    "max, min: where the global maximum and the global minimum are: beginning (first quarter), "
    "middle (the half between) or end (last quarter).\n"
    "Answer with one JSON object and nothing else, such as "
    '{{"trend": "flat", "noise": "low", "max": "middle", "min": "end"}}.'
)
# The dearest published price of a picture of one tile of 512 pixels: 2,833 + 5,667 tokens
# (gpt-4o-mini, OpenAI's guide to images and vision). A bound, not an estimate.
IMAGE_TOKENS = 8500
# Assumption: what a server's chat template adds to the text: roles, a system prompt of its own.
TEMPLATE_TOKENS = 256
PICTURE_PIXELS = 512


class SeriesQuestion:
    """What a teacher is asked about one series; there is none without its series.

    Args:
        values: (T,), NaN where missing.
        picture: show it as a line chart instead of as numbers 00 to 99.

    Raises:
        AnnotationError: an empty or all-missing series.
        CodecError: an infinity.
    """

    def __init__(self, values: np.ndarray, *, picture: bool = False) -> None:
        self.values = np.asarray(values, dtype=np.float64)
        self.picture = picture
        self.series = series_text(self.values)
        where = "in the picture" if picture else "below, scaled from 00 (minimum) to 99 (maximum)"
        self.instruction = INSTRUCTION.format(where=where, length=len(self.values))

    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat: one of the user, with instruction and series."""
        content: Any = f"{self.instruction}\nSeries: {self.series}"
        if self.picture:
            png = base64.b64encode(_draw(self.values)).decode("ascii")
            content = [
                {"type": "text", "text": self.instruction},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}},
            ]
        return [{"role": "user", "content": content}]

    def key(self, model: str, seed: int) -> str:
        """Of the cache: SHA-256 of prompt (with the series), model and seed.

        A picture counts by its numbers, since its bytes change with the library that draws it.
        """
        shown = self.values.tolist() if self.picture else self.series
        text = json.dumps([self.instruction, shown, model, seed])
        return hashlib.sha256(text.encode()).hexdigest()

    def most_tokens(self) -> int:
        """A bound of the tokens of the prompt, whatever the tokenizer.

        No token of a byte-level vocabulary holds less than one byte, so the UTF-8 bytes of the
        text bound its tokens; the schema counts as text, since servers may show it to the model.
        """
        text = len(self.instruction.encode()) + len(json.dumps(ANSWER_SCHEMA)) + TEMPLATE_TOKENS
        return text + (IMAGE_TOKENS if self.picture else len(self.series))


def _draw(values: np.ndarray) -> bytes:
    """A line chart, PNG of 512 x 512 pixels; the same bytes for the same series."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PICTURE_PIXELS / 100, PICTURE_PIXELS / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.12, 0.08, 0.85, 0.88))
    alone = len(values) == 1 or np.isnan(values).any()  # a point between gaps draws no line
    axes.plot(values, color="black", linewidth=1.0, marker="." if alone else "", markersize=2)
    axes.set_xlim(-0.5, len(values) - 0.5)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
