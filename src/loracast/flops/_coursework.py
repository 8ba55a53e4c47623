"""The `coursework` convention: a published exercise's price list for a Llama-like decoder.

Prices: sum, difference, negation, product, quotient, absolute value and ReLU 1; exponential,
logarithm, sine, cosine and square root 10; an m x n by n x p product m p (2n - 1). Grouped-query
attention is counted as multi-head, RoPE as the addition of a position, backward as 2 x forward.
"""

from __future__ import annotations

from typing import ClassVar

from loracast.errors import ConfigError
from loracast.flops._architecture import Architecture
from loracast.flops._convention import Convention
from loracast.flops._cost import CostTable
from loracast.flops._lora import LoraSpec

__all__ = ["Coursework"]

_SILU = 13  # negation, exponential, sum, quotient: x / (1 + exp(-x))
_SOFTMAX = 12  # 10 N exponentials, N - 1 sums, N quotients: 12 N - 1 for a row of N
_NORM_ROW = 11  # N squares, N - 1 sums, 1 mean, 1 epsilon, root 10, N quotients, N weights
_LOSS_TOKEN = 12  # logarithm 10, negation 1, sum over tokens 1


class Coursework(Convention):
    """The exercise's rules applied to any Llama-like architecture."""

    name: ClassVar[str] = "coursework"
    source: ClassVar[str] = (
        "M2 coursework (LoRA fine-tuning for time series forecasting, Cambridge 2025), table 1"
    )

    def forward(
        self,
        arch: Architecture,
        batch: int,
        length: int,
        lora: LoraSpec | None = None,
        head_positions: float | None = None,
        loss: bool = False,
    ) -> CostTable:
        tokens = batch * length
        scored = tokens if head_positions is None else batch * head_positions
        return CostTable(self._count(arch, tokens, tokens * length, scored, lora, loss))

    def decode(
        self,
        arch: Architecture,
        positions: float,
        cached: float,
        head_positions: float,
        lora: LoraSpec | None = None,
    ) -> CostTable:
        return CostTable(self._count(arch, positions, cached, head_positions, lora, False))

    def train_step(
        self,
        arch: Architecture,
        batch: int,
        length: int,
        lora: LoraSpec | None,
        head_positions: float | None = None,
    ) -> CostTable:
        forward = self.forward(arch, batch, length, lora, head_positions, loss=True).forward
        return CostTable(forward, {name: 2 * flops for name, flops in forward.items()})

    # -- what a relative of this convention may count otherwise -----------------------------

    def _head_dim(self, arch: Architecture) -> int:
        return arch.head_dim

    def _head_has_bias(self, arch: Architecture, lora: LoraSpec | None) -> bool:
        return arch.head_bias or (lora is not None and lora.head_bias)

    def _gate_price(self) -> int:
        return _SILU + 1  # SiLU, then the product with the up projection

    def _lora(self, arch: Architecture, tokens: float, lora: LoraSpec) -> dict[str, float]:
        """LoRA's two products, its scale and the addition, for every adapted layer."""
        width = arch.heads * self._head_dim(arch)
        layers = arch.layers if lora.layers is None else len(lora.layers)
        names = arch.resolve_targets(lora.targets)
        cost: dict[str, float] = {}
        for p in arch.projections:
            if p.name not in names:
                continue
            n_out = width if p.part == "qkv" else p.n_out
            n_in = width if p.part == "out" else p.n_in
            products = _product(tokens, n_in, lora.rank) + _product(tokens, lora.rank, n_out)
            cost[f"lora.{p.name}"] = layers * products
            cost["lora.scale"] = cost.get("lora.scale", 0) + layers * 2 * tokens * n_out
        return cost

    # -- the count ------------------------------------------------------------------------

    def _count(
        self,
        arch: Architecture,
        tokens: float,
        pairs: float,
        scored: float,
        lora: LoraSpec | None,
        loss: bool,
    ) -> dict[str, float]:
        if arch.layout != "llama" or not arch.gated_mlp or arch.norm != "rmsnorm":
            raise ConfigError(
                f"convention {self.name}: got a {arch.model_type} model, expected a Llama-like one "
                "(q/k/v/o, RMSNorm, gated MLP); use the convention 'exact'"
            )
        head_dim = self._head_dim(arch)
        width = arch.heads * head_dim
        norm = tokens * (4 * arch.hidden + _NORM_ROW)
        layer: dict[str, float] = {"attention.norm": norm}
        for name in ("q_proj", "k_proj", "v_proj"):
            layer[f"attention.{name}"] = _product(tokens, arch.hidden, width)
        layer["attention.bias"] = 3 * tokens * width if arch.qkv_bias else 0
        layer["attention.rope"] = 2 * tokens * width  # one addition for q, one for k
        layer["attention.scores"] = arch.heads * pairs * (2 * head_dim - 1)
        layer["attention.scale"] = arch.heads * pairs
        layer["attention.mask"] = arch.heads * pairs
        layer["attention.softmax"] = arch.heads * (_SOFTMAX * pairs - tokens)
        layer["attention.values"] = width * (2 * pairs - tokens)
        layer["attention.o_proj"] = _product(tokens, width, arch.hidden)
        layer["mlp.norm"] = norm
        layer["mlp.gate_proj"] = _product(tokens, arch.hidden, arch.mlp)
        layer["mlp.up_proj"] = _product(tokens, arch.hidden, arch.mlp)
        layer["mlp.activation"] = tokens * arch.mlp * self._gate_price()
        layer["mlp.down_proj"] = _product(tokens, arch.mlp, arch.hidden)
        layer["residual"] = 2 * tokens * arch.hidden
        cost = {name: arch.layers * flops for name, flops in layer.items()}
        if lora is not None:
            cost |= self._lora(arch, tokens, lora)
        cost["final_norm"] = norm
        cost["head"] = _product(scored, arch.hidden, arch.vocab)
        if self._head_has_bias(arch, lora):
            cost["head.bias"] = scored * arch.vocab
        if loss:
            cost["loss"] = scored * (_SOFTMAX * arch.vocab - 1 + _LOSS_TOKEN)
        return cost


def _product(m: float, n: int, p: int) -> float:
    """FLOPs of an m x n by n x p product: n products and n - 1 sums per entry."""
    return m * p * (2 * n - 1)
