"""One readable loop over token batches: meters, checkpoints, resumes exactly."""

from __future__ import annotations

from loracast.training._config import TrainConfig, rising_shares
from loracast.training._example import IGNORED, Example, SoftLabel
from loracast.training._loop import BatchSource, Progress, TrainResult, train
from loracast.training._machine import Machine, bf16_pays, machine_facts, resolved_precision
from loracast.training._meter import Meter
from loracast.training._price import StepPricer
from loracast.training._progress import Quiet, StudyProgress

__all__ = [
    "IGNORED",
    "BatchSource",
    "Example",
    "Machine",
    "Meter",
    "Progress",
    "Quiet",
    "SoftLabel",
    "StepPricer",
    "StudyProgress",
    "TrainConfig",
    "TrainResult",
    "bf16_pays",
    "machine_facts",
    "resolved_precision",
    "rising_shares",
    "train",
]
