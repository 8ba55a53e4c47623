"""One readable loop over token batches: meters, checkpoints, resumes exactly."""

from loracast.training._batches import Batch, collate
from loracast.training._config import TrainConfig, bf16_pays
from loracast.training._loop import BatchSource, Progress, TrainResult, train, validation_loss
from loracast.training._meter import Meter

__all__ = [
    "Batch",
    "BatchSource",
    "Meter",
    "Progress",
    "TrainConfig",
    "TrainResult",
    "bf16_pays",
    "collate",
    "train",
    "validation_loss",
]
