"""The rows that the language model makes: what they are called, never how they are made."""

from __future__ import annotations

from loracast.evaluation._method import Group, Method

__all__ = ["ADAPTED", "FULL_FINE_TUNING", "RANDOM_START", "ZERO_SHOT"]

ADAPTED = Method(
    name="adapted",
    label="adapted",
    spoken="the adapted model",
    hint="the base with the LoRA of this study",
    group=Group.ADAPTED,
    colour="#0072B2",
)
ZERO_SHOT = Method(
    name="zero_shot",
    label="zero-shot",
    spoken="its zero-shot self",
    hint="the same base, not adapted",
    group=Group.ZERO_SHOT,
    colour="#56B4E9",
)
RANDOM_START = Method(
    name="random_start",
    label="random start",
    spoken="the same network trained from a random start",
    hint="the same network, trained from a random start",
    group=Group.RANDOM_START,
    colour="#CC79A7",
    study_only=True,
)
FULL_FINE_TUNING = Method(
    name="full_fine_tuning",
    label="full fine-tuning",
    spoken="the same model with all its weights trained",
    hint="the same model, all weights trained",
    group=Group.FULL_FINE_TUNING,
    colour="#3B2F8F",
    study_only=True,
)
