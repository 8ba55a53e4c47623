"""The dials of the training loop, and only those that somebody turns."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TrainConfig", "rising_shares"]


class TrainConfig(BaseModel):
    """How a model is trained.

    Args:
        steps: optimiser steps wanted; the budget may end the run sooner.
        batch_size: B, sequences a step.
        learning_rate: the peak.
        schedule: 'constant', or 'cosine' down to `final_share` of the peak.
        final_share: a tenth (Hoffmann et al. 2022); 0 where small batches are noisy to the end.
        warmup_steps: of linear rise from zero.
        weight_decay: AdamW's, decoupled (Loshchilov & Hutter 2019).
        betas: AdamW's.
        clip_norm: largest total gradient norm, or None.
        optimizer: 'adamw', or 'muon' for the hidden matrices, LoRA's factors among them (Jordan
            et al. 2024), with AdamW without decay for the rest. At equal steps muon reached lower
            losses on forecasts, with LoRA and with all weights, and did not on annotations
            (docs/log.md). Its products are charged: they weigh most in full training on small
            batches (docs/flops.md).
        precision: 'fp32'; 'bf16' runs matrix products in bfloat16 under autocast with float32
            weights; 'auto' takes bf16 where the hardware has matrix units for it, unless the
            environment says otherwise (`LORACAST_PRECISION=fp32` or `bf16`). What was taken is
            reported, and a resumed run keeps it.
        eval_every: steps between validations, 0 for none but the last.
        checkpoint_every: steps between checkpoints; also the block in which FLOPs are reserved.
        log_every: steps between logged losses and gradient norms.
        value_noise: standard deviation of the noise on numbers shown as numbers, in units of the
            context's own standard deviation, falling with the learning rate; digits have none.
        seed: of dropout and noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    # A batch is one forward pass; more rows than this do not fit into memory (assumption).
    batch_size: int = Field(default=8, ge=1, le=16_384)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    final_share: float = Field(default=0.1, ge=0, le=1)
    warmup_steps: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float | None = Field(default=1.0, gt=0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    eval_every: int = Field(default=100, ge=0)
    checkpoint_every: int = Field(default=100, ge=1)
    log_every: int = Field(default=10, ge=1)
    value_noise: float = Field(default=0.0, ge=0)
    seed: int = Field(default=0, ge=0)


def rising_shares(value: tuple[float, float]) -> tuple[float, float]:
    """Two shares of a window, the smaller one first.

    Raises:
        ValueError: anything else.
    """
    low, high = value
    if not 0 < low <= high <= 1:
        raise ValueError(f"got {low:g} to {high:g}; expected two shares, 0 < first <= second <= 1")
    return value
