"""The annotation task: a series goes in, checked facts come out.

values -> prompt -> (the model writes one line of JSON) -> facts -> Annotation -> prose
"""

from loracast.tasks.annotation._answer import (
    LABEL_FIELDS,
    MAX_POINTS,
    SERIES_FIELDS,
    answer_text,
    parse_answer,
    with_values,
)
from loracast.tasks.annotation._grammar import answer_grammar, answer_regex
from loracast.tasks.annotation._schema import (
    ANNOTATION_FIELDS,
    SCHEMA_VERSION,
    UNKNOWN_INDEX,
    Annotation,
)

__all__ = [
    "ANNOTATION_FIELDS",
    "LABEL_FIELDS",
    "MAX_POINTS",
    "SCHEMA_VERSION",
    "SERIES_FIELDS",
    "UNKNOWN_INDEX",
    "Annotation",
    "answer_grammar",
    "answer_regex",
    "answer_text",
    "parse_answer",
    "with_values",
]
