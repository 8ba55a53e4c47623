"""One readable loop over token batches: meters, checkpoints, resumes exactly."""

from loracast.training._batches import Batch, collate
from loracast.training._config import TrainConfig
from loracast.training._loop import BatchSource, Progress, TrainResult, train, validation_loss
from loracast.training._machine import Machine, bf16_pays, machine_facts, resolved_precision
from loracast.training._meter import Meter

__all__ = [
    "Batch",
    "BatchSource",
    "Machine",
    "Meter",
    "Progress",
    "TrainConfig",
    "TrainResult",
    "bf16_pays",
    "collate",
    "machine_facts",
    "resolved_precision",
    "train",
    "validation_loss",
]
