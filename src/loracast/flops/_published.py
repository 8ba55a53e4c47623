"""Published totals beside the same figures recomputed.

Knows what three reports printed; the counting is the conventions'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from loracast.flops._architecture import Architecture
from loracast.flops._conventions import get_convention
from loracast.flops._lora import LoraSpec

__all__ = ["PublishedRow", "mao2025_table10", "mao2025_table14", "step_by_convention"]

_BUDGET_FLOPS = 1e17  # the exercise's limit
_BATCH = 4
# Mao 2025, table 10: training steps that 1e17 FLOPs pay for, by context S and LoRA rank r.
_TABLE_10 = {
    (128, 2): 52743,
    (128, 4): 52738,
    (128, 8): 52728,
    (512, 2): 12500,
    (512, 4): 12499,
    (512, 8): 12496,
    (768, 2): 8054,
    (768, 4): 8053,
    (768, 8): 8052,
}
# Mao 2025, table 14: share of 1e17 FLOPs in percent, and the (steps, context, rank) behind it.
_TABLE_14 = {
    "default: 1,000 steps, S=512, r=4": (8.000, [(1000, 512, 4)]),
    "grid: 9 x 500 steps, S=512, r=2,4,8": (36.000, [(1500, 512, r) for r in (2, 4, 8)]),
    "context: 500 steps each, S=128,512,768, r=8": (
        11.158,
        [(500, s, 8) for s in (128, 512, 768)],
    ),
}


@dataclass(frozen=True)
class PublishedRow:
    """One published figure and its recomputation."""

    what: str
    flops: float
    published: float
    recomputed: float

    @property
    def difference(self) -> float:
        """Recomputed minus published, in the table's own unit."""
        return self.recomputed - self.published


def _mao_step(length: int, rank: int) -> float:
    arch = Architecture.known("Qwen/Qwen2.5-0.5B-Instruct")
    lora = LoraSpec(rank, ("q_proj", "k_proj"))
    return get_convention("mao2025").train_step(arch, _BATCH, length, lora).total


def mao2025_table10() -> list[PublishedRow]:
    """Steps that fit into 1e17 FLOPs; `flops` is one step of batch 4."""
    return [
        PublishedRow(f"S={s}, r={r}", flops, steps, round(_BUDGET_FLOPS / flops))
        for (s, r), steps in _TABLE_10.items()
        for flops in [_mao_step(s, r)]
    ]


def mao2025_table14() -> list[PublishedRow]:
    """Shares of 1e17 FLOPs in percent; `flops` is the stage."""
    rows = []
    for what, (percent, runs) in _TABLE_14.items():
        flops = sum(steps * _mao_step(s, r) for steps, s, r in runs)
        rows.append(PublishedRow(what, flops, percent, round(100 * flops / _BUDGET_FLOPS, 3)))
    return rows


def step_by_convention(length: int = 512, rank: int = 4) -> dict[str, float]:
    """FLOPs of one LoRA training step of Qwen2.5-0.5B (B=4, q and v), counted in several ways.

    The rows after `exact` change it by one reason for the differences at a time.
    """
    arch = Architecture.known("Qwen/Qwen2.5-0.5B-Instruct")
    lora = LoraSpec(rank)
    exact = get_convention("exact")
    step = exact.train_step(arch, _BATCH, length, lora)
    forward = exact.forward(arch, _BATCH, length, lora, loss=True)
    pruned = exact.train_step(arch.pruned(13), _BATCH, length, lora)
    multi_head = replace(arch, kv_heads=arch.heads)
    wide = exact.forward(multi_head, _BATCH, length, lora, loss=True)
    body = forward.matmul - forward.components["head"]
    return {
        "mao2025": get_convention("mao2025").train_step(arch, _BATCH, length, lora).total,
        "coursework": get_convention("coursework").train_step(arch, _BATCH, length, lora).total,
        "exact": step.total,
        "exact, vocabulary of 13": pruned.total,
        "3 x exact forward": 3 * forward.total,
        "3 x exact forward, multi-head": 3 * wide.total,
        "3 x exact forward, no head": 3 * body,
        "3 x exact forward, no head, multiply-add as 1": 1.5 * body,
    }
