"""Labelled series: who labels them, what is kept, and how far a set agrees with its rules.

generate | read --> Teacher.describe --> labels --filter_agreement--> rows kept, rejections logged
labelled rows --audit_labels--> agreement with a rule engine, by field
endless stream --train_annotator--> adapter, scores on unseen series; rows --evaluate_file--> scores
"""

from __future__ import annotations

from loracast.studies.annotation._agreement import (
    Agreement,
    Rejection,
    filter_agreement,
    write_rejections,
)
from loracast.studies.annotation._audit import audit_labels
from loracast.studies.annotation._data import (
    LABEL_FORMATS,
    generate_labelled,
    read_labelled,
    write_labelled,
)
from loracast.studies.annotation._evaluate import evaluate_file
from loracast.studies.annotation._openai import OpenAITeacher
from loracast.studies.annotation._request import Question, ask_about
from loracast.studies.annotation._server_config import ServerConfig, TeacherPlan, TeacherStats
from loracast.studies.annotation._spending import Prices
from loracast.studies.annotation._teachers import (
    RULES,
    LatentTeacher,
    RuleTeacher,
    Teacher,
    TeacherLabel,
    label_of,
)
from loracast.studies.annotation._train import train_annotator
from loracast.studies.annotation._unseen import score_unseen, unseen_series

__all__ = [
    "LABEL_FORMATS",
    "RULES",
    "Agreement",
    "LatentTeacher",
    "OpenAITeacher",
    "Prices",
    "Question",
    "Rejection",
    "RuleTeacher",
    "ServerConfig",
    "Teacher",
    "TeacherLabel",
    "TeacherPlan",
    "TeacherStats",
    "ask_about",
    "audit_labels",
    "evaluate_file",
    "filter_agreement",
    "generate_labelled",
    "label_of",
    "read_labelled",
    "score_unseen",
    "train_annotator",
    "unseen_series",
    "write_labelled",
    "write_rejections",
]
