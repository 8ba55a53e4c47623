"""The `exact` convention: what the code really executes; a multiply-add is 2 FLOPs.

Matrix products follow what torch's `FlopCounterMode` counts (the CPU's fused attention mapped):
grouped-query attention, the head at the vocabulary it has, whole L x L squares of attention,
and a backward pass that computes activation gradients only down to the first trained weight.
Element-wise work is estimated at one FLOP per arithmetic operation and kept in components of
its own. The optimiser is a part of its own, `update`: Muon's Newton-Schulz products as the counter
sees them, momentum and AdamW by the element. Left out: embedding look-ups, copies, casts, dropout,
RoPE's angles, and the norm and clipping of gradients.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import ClassVar

from loracast.errors import ConfigError
from loracast.flops._architecture import Architecture, Projection
from loracast.flops._convention import Convention
from loracast.flops._cost import CostTable
from loracast.flops._lora import LoraSpec
from loracast.flops._trained import NEWTON_SCHULZ_STEPS, Parameter, muon_takes

__all__ = ["Exact"]

# Operations per element; each is an assumption about a plain implementation, one FLOP an operation.
_ACTIVATION = {"silu": 4, "gelu": 8, "relu": 1}
_NORM = {"rmsnorm": 4, "layernorm": 7}
_PARTS = ("qkv", "out", "mlp_in", "mlp_out")
_ROPE = 3  # two products and a sum
_SOFTMAX = 5  # maximum, difference, exponential, sum, quotient
_LOSS_FORWARD = 4  # maximum, difference, exponential, sum per vocabulary entry
_LOSS_BACKWARD = 2  # softmax minus one-hot, scaled
_BACKWARD = 2  # element-wise backward work per forward operation (assumption)
# Of torch.optim.AdamW, per parameter: decay 1, first moment 3, second moment 4, root, bias
# correction and epsilon 3, quotient, step size and sum 3.
_ADAMW = 14
# Of torch.optim.Muon, per element: momentum 3, Nesterov 3, norm 2 and its quotient 1, decay 1, step
# size and sum 2; in each Newton-Schulz step the scaled sum of a product and the matrix, 2 per
# element, and of a square matrix of the short side, 3 per entry.
_MUON, _MUON_STEP, _MUON_GRAM = 12, 2, 3


class Exact(Convention):
    """What the code really executes.

    Args:
        attention: `sdpa` (torch's fused kernel, whose backward recomputes the scores: five
            products) or `eager` (four products at most, each only if its operand is trained).

    Raises:
        ConfigError: another attention.
    """

    name: ClassVar[str] = "exact"
    source: ClassVar[str] = (
        "operations executed, checked against torch.utils.flop_counter.FlopCounterMode"
    )

    def __init__(self, attention: str = "sdpa") -> None:
        if attention not in ("sdpa", "eager"):
            raise ConfigError(f"attention: got {attention!r}, expected 'sdpa' or 'eager'")
        self.attention = attention

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
        return CostTable(
            _forward(arch, tokens, tokens * length, scored, _checked(arch, lora), loss)
        )

    def decode(
        self,
        arch: Architecture,
        positions: float,
        cached: float,
        head_positions: float,
        lora: LoraSpec | None = None,
    ) -> CostTable:
        return CostTable(
            _forward(arch, positions, cached, head_positions, _checked(arch, lora), False)
        )

    def train_step(
        self,
        arch: Architecture,
        batch: int,
        length: int,
        lora: LoraSpec | None,
        head_positions: float | None = None,
    ) -> CostTable:
        tokens = batch * length
        scored = tokens if head_positions is None else batch * head_positions
        checked = _checked(arch, lora)
        forward = _forward(arch, tokens, tokens * length, scored, checked, True)
        return CostTable(
            forward, _backward(arch, tokens, tokens * length, scored, checked, self.attention)
        )

    def update(self, parameters: Iterable[Parameter], optimizer: str) -> CostTable:
        super().update((), optimizer)  # refuses an unknown one
        cost: dict[str, float] = {}
        for name, shape in parameters:
            if optimizer == "muon" and muon_takes(name, shape):
                short, long = sorted(shape)
                # X X^T, then G G, then (b G + c G G) X; torch.optim._muon, Jordan et al. 2024
                products = 4 * short**2 * long + 2 * short**3
                _add(cost, "optimizer.newton_schulz", NEWTON_SCHULZ_STEPS * products)
                once = (_MUON + NEWTON_SCHULZ_STEPS * _MUON_STEP) * short * long
                _add(cost, "optimizer.muon", once + NEWTON_SCHULZ_STEPS * _MUON_GRAM * short**2)
            else:
                _add(cost, "optimizer.adamw", _ADAMW * math.prod(shape))
        return CostTable(update=cost)


def _checked(arch: Architecture, lora: LoraSpec | None) -> LoraSpec | None:
    """The adapter with its targets resolved; refuses layers that the model does not have."""
    if lora is None:
        return None
    layers = lora.layers
    if layers is not None and any(not 0 <= i < arch.layers for i in layers):
        raise ConfigError(f"LoRA layers: got {layers}, expected indices in 0..{arch.layers - 1}")
    return LoraSpec(
        lora.rank, arch.resolve_targets(lora.targets), lora.head_bias, layers, lora.inputs_trained
    )


def _n_adapted(arch: Architecture, lora: LoraSpec) -> int:
    return arch.layers if lora.layers is None else len(lora.layers)


def _forward(
    arch: Architecture,
    tokens: float,
    pairs: float,
    scored: float,
    lora: LoraSpec | None,
    loss: bool,
) -> dict[str, float]:
    """Components of a forward pass: `tokens` positions, `pairs` query-key pairs in all."""
    cost: dict[str, float] = {}
    if arch.embedding_scale:
        cost["embedding"] = tokens * arch.hidden
    per_layer = dict(_elementwise_layer(arch, tokens, pairs))
    for projection in arch.projections:
        per_layer[projection.component] = 2 * tokens * projection.n_in * projection.n_out
    per_layer["attention.scores"] = 2 * pairs * arch.q_width
    per_layer["attention.values"] = 2 * pairs * arch.q_width
    per_layer = {name: per_layer[name] for name in _in_order(arch)}
    for name, flops in per_layer.items():
        cost[name] = arch.layers * flops
    if lora is not None:
        n_adapted = _n_adapted(arch, lora)
        for p in _adapted(arch, lora):
            product = n_adapted * 2 * tokens * lora.rank * (p.n_in + p.n_out)
            _add(cost, f"lora.{p.name}", product)
            _add(cost, "lora.scale", n_adapted * 2 * tokens * p.n_out)
    cost["final_norm"] = tokens * (_NORM[arch.norm] * arch.hidden + 3)
    cost["head"] = 2 * scored * arch.hidden * arch.vocab
    if arch.head_bias or (lora is not None and lora.head_bias):
        cost["head.bias"] = scored * arch.vocab
    if loss:
        cost["loss"] = scored * (_LOSS_FORWARD * arch.vocab + 3)
    return cost


def _in_order(arch: Architecture) -> list[str]:
    """Components of a layer in the order they run."""
    names = {part: [p.component for p in arch.projections if p.part == part] for part in _PARTS}
    return [
        *("attention.norm", *names["qkv"], "attention.bias", "attention.rope"),
        *("attention.scores", "attention.scale", "attention.mask", "attention.softmax"),
        *("attention.values", *names["out"]),
        *("mlp.norm", *names["mlp_in"], "mlp.activation", *names["mlp_out"], "mlp.bias"),
        "residual",
    ]


def _elementwise_layer(
    arch: Architecture, tokens: float, pairs: float
) -> Iterator[tuple[str, float]]:
    """Element-wise components of one layer's forward pass."""
    one_norm = tokens * (_NORM[arch.norm] * arch.hidden + 3)
    qk_norm = tokens * (arch.heads + arch.kv_heads) * (_NORM["rmsnorm"] * arch.head_dim + 3)
    attention_norms = (arch.norms_per_layer + 1) // 2
    yield "attention.norm", attention_norms * one_norm + (qk_norm if arch.qk_norm else 0)
    biases: defaultdict[str, float] = defaultdict(float)
    for p in arch.projections:
        biases[p.component.split(".")[0]] += tokens * p.n_out if p.bias else 0
    yield "attention.bias", biases["attention"]
    rotary = arch.rotary_dims or 0
    yield "attention.rope", _ROPE * tokens * (arch.heads + arch.kv_heads) * rotary
    yield "attention.scale", pairs * arch.heads
    yield "attention.mask", pairs * arch.heads
    yield "attention.softmax", _SOFTMAX * pairs * arch.heads
    yield "mlp.norm", (arch.norms_per_layer - attention_norms) * one_norm
    yield "mlp.bias", biases["mlp"]
    per_gate = _ACTIVATION[arch.activation] + (1 if arch.gated_mlp else 0)
    yield "mlp.activation", tokens * arch.mlp * per_gate
    yield "residual", 2 * tokens * arch.hidden


def _adapted(arch: Architecture, lora: LoraSpec) -> tuple[Projection, ...]:
    return tuple(p for p in arch.projections if p.name in lora.targets)


def _add(cost: dict[str, float], name: str, flops: float) -> None:
    if flops:
        cost[name] = cost.get(name, 0) + flops


def _backward(
    arch: Architecture,
    tokens: float,
    pairs: float,
    scored: float,
    lora: LoraSpec | None,
    attention: str,
) -> dict[str, float]:
    """Components of the backward pass, from the loss down to the first trained weight."""
    cost: dict[str, float] = {}
    full = lora is None
    head = 2 * scored * arch.hidden * arch.vocab
    cost["loss"] = _LOSS_BACKWARD * scored * arch.vocab
    if (arch.head_bias and full) or (lora is not None and lora.head_bias):
        cost["head.bias"] = scored * arch.vocab
    below = full or (lora is not None and lora.inputs_trained)  # gradient wanted at the input
    layers = list(_layer_costs(arch, tokens, pairs, lora, attention, below))
    if below or layers:
        _add(cost, "head", head)  # activation gradient
        _add(cost, "final_norm", _BACKWARD * tokens * (_NORM[arch.norm] * arch.hidden + 3))
    if full:
        _add(cost, "head", head)  # weight gradient
    for layer, times in layers:
        for name, flops in layer.items():
            _add(cost, name, times * flops)
    return cost


def _layer_costs(
    arch: Architecture,
    tokens: float,
    pairs: float,
    lora: LoraSpec | None,
    attention: str,
    below: bool,
) -> Iterator[tuple[dict[str, float], int]]:
    """Backward cost of each kind of layer and how often it occurs."""
    if lora is None:
        yield _layer_backward(arch, tokens, pairs, None, attention, True, True), arch.layers
        return
    adapted = list(range(arch.layers)) if lora.layers is None else list(lora.layers)
    if not lora.targets:
        adapted = []
    if not adapted and not below:
        return
    first = 0 if below else adapted[0]
    n_adapted_above = len([i for i in adapted if i > first or below])
    n_plain = arch.layers - first - n_adapted_above - (0 if below else 1)
    if not below:
        yield _layer_backward(arch, tokens, pairs, lora, attention, False, True), 1
    if n_adapted_above:
        layer = _layer_backward(arch, tokens, pairs, lora, attention, True, True)
        yield layer, n_adapted_above
    if n_plain:
        yield _layer_backward(arch, tokens, pairs, lora, attention, True, False), n_plain


def _layer_backward(
    arch: Architecture,
    tokens: float,
    pairs: float,
    lora: LoraSpec | None,
    attention: str,
    input_needs: bool,
    trained: bool,
) -> dict[str, float]:
    """Backward cost of one layer.

    `input_needs`: the gradient at the layer's input is wanted. `trained`: the layer holds trained
    weights (LoRA factors, or all of them when `lora` is None). A product's input gradient is
    computed only if something trained lies below it, as autograd does.
    """
    cost: dict[str, float] = {}
    names = set(lora.targets) if lora is not None and trained else set()
    full = lora is None and trained

    def linear(p: Projection, needs_input: bool) -> bool:
        """Charge one projection; whether its output carries a gradient."""
        product = 2 * tokens * p.n_in * p.n_out
        if needs_input:
            _add(cost, p.component, product)
        if full:
            _add(cost, p.component, product)
        if lora is not None and p.name in names:
            factors = 2 * tokens * lora.rank
            _add(cost, f"lora.{p.name}", factors * 2 * p.n_out)  # dB and d(Ax)
            _add(cost, f"lora.{p.name}", factors * p.n_in * (2 if needs_input else 1))  # dA, dx
            _add(cost, "lora.scale", tokens * p.n_out)
        return needs_input or full or p.name in names

    parts = {part: [p for p in arch.projections if p.part == part] for part in _PARTS}
    carries = {
        operand: needs
        for p in parts["qkv"]
        for needs in [linear(p, input_needs)]
        for operand in p.operands
    }
    reached = any(carries.values())
    if reached:
        product = 2 * pairs * arch.q_width
        score_needs = carries["q"] or carries["k"]
        if attention == "sdpa":  # one fused call: scores again, dQ, dK; dV, dP
            _add(cost, "attention.scores", 3 * product)
            _add(cost, "attention.values", 2 * product)
        else:
            _add(cost, "attention.scores", (carries["q"] + carries["k"]) * product)
            _add(cost, "attention.values", (carries["v"] + score_needs) * product)
    after_attention = linear(parts["out"][0], reached)
    mlp_needs = input_needs if arch.parallel_residual else input_needs or after_attention
    inside = [linear(p, mlp_needs) for p in parts["mlp_in"]]  # all are charged, then any asked
    inside_mlp = any(inside)
    for p in parts["mlp_out"]:
        linear(p, inside_mlp)

    wanted = {
        "attention.norm": input_needs,
        "attention.bias": full,
        "attention.rope": reached,
        "attention.scale": reached,
        "attention.softmax": reached,
        "mlp.norm": mlp_needs,
        "mlp.bias": full,
        "mlp.activation": inside_mlp,
        "residual": input_needs or after_attention,
    }
    for name, flops in _elementwise_layer(arch, tokens, pairs):
        if wanted.get(name, False):
            factor = 1 if name in ("attention.bias", "mlp.bias", "residual") else _BACKWARD
            _add(cost, name, factor * flops)
    return cost
