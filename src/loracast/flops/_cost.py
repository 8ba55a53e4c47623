"""A cost table: FLOPs by named component; forward, backward and update kept apart.

It adds and scales; it does not know which convention filled it.
Components are dotted names, the same tree under every convention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CostTable", "is_matmul"]

_MATMUL_EXACT = frozenset({"attention.scores", "attention.values", "head"})
_ELEMENTWISE = frozenset(
    {
        "embedding",
        "attention.norm",
        "attention.bias",
        "attention.rope",
        "attention.scale",
        "attention.mask",
        "attention.softmax",
        "mlp.norm",
        "mlp.bias",
        "mlp.activation",
        "residual",
        "lora.scale",
        "final_norm",
        "head.bias",
        "loss",
        "optimizer.adamw",
        "optimizer.muon",
    }
)


def is_matmul(component: str) -> bool:
    """Whether a component is a matrix product (the part that torch's FLOP counter sees)."""
    return component in _MATMUL_EXACT or component not in _ELEMENTWISE


@dataclass(frozen=True)
class CostTable:
    """FLOPs by component; additive and scalable.

    Args:
        forward: component -> FLOPs of the forward pass.
        backward: component -> FLOPs of the backward pass; empty when there is none.
        update: component -> FLOPs of the optimiser; empty when there is none.
    """

    forward: Mapping[str, float] = field(default_factory=dict)
    backward: Mapping[str, float] = field(default_factory=dict)
    update: Mapping[str, float] = field(default_factory=dict)

    @property
    def components(self) -> dict[str, float]:
        """Component -> FLOPs, forward, backward and update together."""
        return _merged(_merged(self.forward, self.backward), self.update)

    @property
    def total(self) -> float:
        """All FLOPs: matrix products and element-wise work."""
        return float(sum(sum(part.values()) for part in self._parts))

    @property
    def matmul(self) -> float:
        """FLOPs in matrix products only, the part that torch's FLOP counter sees."""
        return float(sum(v for part in self._parts for k, v in part.items() if is_matmul(k)))

    @property
    def elementwise(self) -> float:
        """FLOPs outside matrix products: norms, softmax, RoPE, residuals, loss, AdamW, ..."""
        return self.total - self.matmul

    @property
    def _parts(self) -> tuple[Mapping[str, float], ...]:
        return self.forward, self.backward, self.update

    def __add__(self, other: CostTable) -> CostTable:
        if not isinstance(other, CostTable):
            return NotImplemented
        pairs = zip(self._parts, other._parts, strict=True)
        return CostTable(*(_merged(mine, theirs) for mine, theirs in pairs))

    def __mul__(self, factor: float) -> CostTable:
        return CostTable(*({k: v * factor for k, v in part.items()} for part in self._parts))

    __rmul__ = __mul__


def _merged(left: Mapping[str, float], right: Mapping[str, float]) -> dict[str, float]:
    merged = dict(left)
    for name, flops in right.items():
        merged[name] = merged.get(name, 0) + flops
    return merged
