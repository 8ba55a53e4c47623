"""Annotations: a series goes in, checked facts come out.

values -> prompt -> (the model writes one line of JSON) -> facts -> Annotation -> prose
"""

from __future__ import annotations

from loracast.annotation._agreement import Agreement, filter_agreement, write_rejections
from loracast.annotation._annotator import Annotator
from loracast.annotation._answer import answer_regex, parse_answer
from loracast.annotation._audit import audit_labels
from loracast.annotation._described import describe_chunk
from loracast.annotation._engine import AnnotationEngine
from loracast.annotation._evaluate import evaluate_file
from loracast.annotation._facts import EXTREMUM_REGIONS, NOISE_LEVELS, TREND_LABELS, region_of
from loracast.annotation._fields import LABEL_FIELDS, SERIES_FIELDS, label_of
from loracast.annotation._label_bounds import trend_label
from loracast.annotation._label_files import generate_labelled, read_labelled, write_labelled
from loracast.annotation._label_studio import label_studio_config, label_studio_task
from loracast.annotation._languages import LANGUAGES
from loracast.annotation._measurements import measure
from loracast.annotation._plot import check_caption_font, plot_annotations
from loracast.annotation._prompt import series_text
from loracast.annotation._prose import prose
from loracast.annotation._records import AnnotatedSeries, write_published, write_records
from loracast.annotation._rules import robust_rules
from loracast.annotation._schema import Annotation
from loracast.annotation._shipped import SHIPPED_CARD, SHIPPED_DIR
from loracast.annotation._table import write_csv
from loracast.annotation._task import AnnotationTask
from loracast.annotation._teacher_config import Prices, ServerConfig
from loracast.annotation._teacher_openai import OpenAITeacher
from loracast.annotation._teachers import (
    LatentTeacher,
    RuleTeacher,
    Teacher,
    TeacherLabel,
)
from loracast.annotation._train import train_annotator
from loracast.annotation._unseen import unseen_series

__all__ = [
    "EXTREMUM_REGIONS",
    "LABEL_FIELDS",
    "LANGUAGES",
    "NOISE_LEVELS",
    "SERIES_FIELDS",
    "SHIPPED_CARD",
    "SHIPPED_DIR",
    "TREND_LABELS",
    "Agreement",
    "AnnotatedSeries",
    "Annotation",
    "AnnotationEngine",
    "AnnotationTask",
    "Annotator",
    "LatentTeacher",
    "OpenAITeacher",
    "Prices",
    "RuleTeacher",
    "ServerConfig",
    "Teacher",
    "TeacherLabel",
    "answer_regex",
    "audit_labels",
    "check_caption_font",
    "describe_chunk",
    "evaluate_file",
    "filter_agreement",
    "generate_labelled",
    "label_of",
    "label_studio_config",
    "label_studio_task",
    "measure",
    "parse_answer",
    "plot_annotations",
    "prose",
    "read_labelled",
    "region_of",
    "robust_rules",
    "series_text",
    "train_annotator",
    "trend_label",
    "unseen_series",
    "write_csv",
    "write_labelled",
    "write_published",
    "write_records",
    "write_rejections",
]
