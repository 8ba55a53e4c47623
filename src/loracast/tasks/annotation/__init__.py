"""The annotation task: a series goes in, checked facts come out.

values -> prompt -> (the model writes one line of JSON) -> facts -> Annotation -> prose
"""

from loracast.tasks.annotation._answer import LABEL_FIELDS, MAX_POINTS, SERIES_FIELDS, answer_text
from loracast.tasks.annotation._grammar import answer_grammar, answer_regex
from loracast.tasks.annotation._label_studio import (
    label_studio_config,
    label_studio_task,
    write_label_studio,
)
from loracast.tasks.annotation._label_studio_read import read_label_studio
from loracast.tasks.annotation._length import LENGTH_CHOICES, fit_length, stretch_facts
from loracast.tasks.annotation._parse import (
    extrema_of,
    parse_answer,
    placed,
    with_values,
)
from loracast.tasks.annotation._prompt import (
    NUMBER_FORMS,
    PROMPT_PROFILES,
    PUBLISHED_INSTRUCTION,
    AnnotationPrompt,
    annotation_prompt,
    series_text,
)
from loracast.tasks.annotation._prose import LANGUAGES, prose, prose_sentences
from loracast.tasks.annotation._records import (
    AnnotatedSeries,
    published_line,
    read_published,
    read_records,
    record_line,
    write_published,
    write_records,
)
from loracast.tasks.annotation._schema import (
    ANNOTATION_FIELDS,
    SCHEMA_VERSION,
    UNKNOWN_INDEX,
    Annotation,
)
from loracast.tasks.annotation._sentences import (
    SENTENCE_KEYS,
    facts_from_sentences,
    profile_sentences,
    prose_labels,
    sentence_labels,
)
from loracast.tasks.annotation._table import annotation_row, write_csv
from loracast.tasks.annotation._words import vocabulary_texts

__all__ = [
    "ANNOTATION_FIELDS",
    "LABEL_FIELDS",
    "LANGUAGES",
    "LENGTH_CHOICES",
    "MAX_POINTS",
    "NUMBER_FORMS",
    "PROMPT_PROFILES",
    "PUBLISHED_INSTRUCTION",
    "SCHEMA_VERSION",
    "SENTENCE_KEYS",
    "SERIES_FIELDS",
    "UNKNOWN_INDEX",
    "AnnotatedSeries",
    "Annotation",
    "AnnotationPrompt",
    "annotation_prompt",
    "annotation_row",
    "answer_grammar",
    "answer_regex",
    "answer_text",
    "extrema_of",
    "facts_from_sentences",
    "fit_length",
    "label_studio_config",
    "label_studio_task",
    "parse_answer",
    "placed",
    "profile_sentences",
    "prose",
    "prose_labels",
    "prose_sentences",
    "published_line",
    "read_label_studio",
    "read_published",
    "read_records",
    "record_line",
    "sentence_labels",
    "series_text",
    "stretch_facts",
    "vocabulary_texts",
    "with_values",
    "write_csv",
    "write_label_studio",
    "write_published",
    "write_records",
]
