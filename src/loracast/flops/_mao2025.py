"""The `mao2025` convention: the coursework rules as Mao's program really counted.

It reproduces his Tables 10 and 14. It differs from `coursework` in five places, kept because the
point is to show them: heads of size 128, a product of its own after a SiLU of 14, a bias on the
head, LoRA charged per head, and LoRA charged for one layer although all 24 were adapted.
His text does not fix every single addition; where it is silent, the reading that gives all nine
step counts of Table 10 was taken.
"""

from __future__ import annotations

from typing import ClassVar

from loracast.errors import ConfigError
from loracast.flops._architecture import Architecture
from loracast.flops._coursework import Coursework, _product
from loracast.flops._lora import LoraSpec

__all__ = ["Mao2025"]

_HEAD_DIM = 128  # his report: 14 heads of size 128; Qwen2.5-0.5B has 14 of size 64
_SILU = 14  # his report: 14 per gate element


class Mao2025(Coursework):
    """Mao's count of Qwen2.5-0.5B, kept with its slips."""

    name: ClassVar[str] = "mao2025"
    source: ClassVar[str] = "Mao, M2 coursework report, 2025, tables 10 and 14"

    def _head_dim(self, arch: Architecture) -> int:  # noqa: ARG002
        return _HEAD_DIM

    def _head_has_bias(
        self,
        arch: Architecture,  # noqa: ARG002
        lora: LoraSpec | None,  # noqa: ARG002
    ) -> bool:
        return True

    def _gate_price(self) -> int:
        return _SILU + 1

    def _lora(self, arch: Architecture, tokens: float, lora: LoraSpec) -> dict[str, float]:
        """LoRA per head, in one layer: `heads` times (x A, then B to 128, then the addition)."""
        cost: dict[str, float] = {}
        for name in arch.resolve_targets(lora.targets):
            if name not in ("q_proj", "k_proj", "v_proj"):
                raise ConfigError(
                    f"convention mao2025: got LoRA on {name}, expected q, k or v: his program "
                    "charges LoRA per head; use the convention 'exact'"
                )
            products = _product(tokens, arch.hidden, lora.rank)
            products += _product(tokens, lora.rank, _HEAD_DIM)
            cost[f"lora.{name}"] = arch.heads * products
            cost["lora.scale"] = cost.get("lora.scale", 0) + arch.heads * tokens * _HEAD_DIM
        return cost
