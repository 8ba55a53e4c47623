"""What the model is asked to do: window -> prompt and target, symbols -> answer.

The annotation task has a package of its own, `tasks.annotation`; its main names are here too.
"""

from loracast.tasks._example import IGNORED, Example, Numbers, SoftLabel
from loracast.tasks._forecast import ForecastTask, Prompt, constant_values
from loracast.tasks._windows import ForecastWindows
from loracast.tasks.annotation import (
    AnnotatedSeries,
    Annotation,
    annotation_prompt,
    answer_grammar,
    answer_text,
    parse_answer,
)

__all__ = [
    "IGNORED",
    "AnnotatedSeries",
    "Annotation",
    "Example",
    "ForecastTask",
    "ForecastWindows",
    "Numbers",
    "Prompt",
    "SoftLabel",
    "annotation_prompt",
    "answer_grammar",
    "answer_text",
    "constant_values",
    "parse_answer",
]
