"""Which weights a training run updates, by name and shape, and which of them Muon takes.

One rule for both: the training loop builds its optimisers with `muon_takes`, and the price of an
update is worked out from `trained_parameters` with the same function. Knows shapes, not weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loracast.flops._architecture import Architecture
from loracast.flops._lora import LoraSpec
from loracast.flops._numeric_head import NumericHeadSpec

__all__ = ["NEWTON_SCHULZ_STEPS", "OPTIMIZERS", "Parameter", "muon_takes", "trained_parameters"]

Parameter = tuple[str, tuple[int, ...]]

OPTIMIZERS = ("adamw", "muon")
NEWTON_SCHULZ_STEPS = 5  # Jordan et al. 2024, and the default of torch.optim.Muon (ns_steps)
# Not hidden: token and position tables (`wte`, `wpe` in GPT-2), the head, and the two small
# networks that read and write numbers.
_OUTSIDE = ("embed", "lm_head", "value_interface", "wte", "wpe")


def muon_takes(name: str, shape: Sequence[int]) -> bool:
    """Whether Muon updates a trained weight: every hidden matrix, LoRA's factors among them.

    Args:
        name: of the parameter, as the model calls it.
        shape: of the parameter.
    """
    return len(shape) == 2 and not any(part in name for part in _OUTSIDE)


def trained_parameters(
    arch: Architecture,
    lora: LoraSpec | None,
    values: NumericHeadSpec | None = None,
    answered: bool = True,
) -> Iterator[Parameter]:
    """(name, shape) of every weight that a training step updates.

    Args:
        arch: the model.
        lora: the adapter: A (r, n_in) and B (n_out, r) of each adapted projection, and the head's
            bias where it is trained; None trains the whole model.
        values: the numeric head, where the batch shows numbers; it is always trained in full.
        answered: whether numbers are predicted; what predicts them has no gradient otherwise.
    """
    if lora is None:
        yield from _model(arch)
    else:
        yield from _factors(arch, lora)
    if values is not None:
        yield from values.parameters(answered)


def _model(arch: Architecture) -> Iterator[Parameter]:
    def norm(name: str) -> Iterator[Parameter]:
        yield f"{name}.weight", (arch.hidden,)
        if arch.norm == "layernorm":
            yield f"{name}.bias", (arch.hidden,)

    yield "embed_tokens.weight", (arch.vocab, arch.hidden)
    if arch.learned_positions:
        yield "embed_positions.weight", (arch.learned_positions, arch.hidden)
    for i in range(arch.layers):
        for p in arch.projections:
            yield f"layers.{i}.{p.component}.weight", (p.n_out, p.n_in)
            if p.bias:
                yield f"layers.{i}.{p.component}.bias", (p.n_out,)
        for n in range(arch.norms_per_layer):
            yield from norm(f"layers.{i}.norm{n}")
        if arch.qk_norm:
            yield f"layers.{i}.q_norm.weight", (arch.head_dim,)
            yield f"layers.{i}.k_norm.weight", (arch.head_dim,)
    yield from norm("final_norm")
    if not arch.tied:
        yield "lm_head.weight", (arch.vocab, arch.hidden)
    if arch.head_bias:
        yield "lm_head.bias", (arch.vocab,)


def _factors(arch: Architecture, lora: LoraSpec) -> Iterator[Parameter]:
    names = arch.resolve_targets(lora.targets)
    for i in range(arch.layers) if lora.layers is None else lora.layers:
        for p in arch.projections:
            if p.name in names:
                yield f"layers.{i}.{p.component}.lora_A", (lora.rank, p.n_in)
                yield f"layers.{i}.{p.component}.lora_B", (p.n_out, lora.rank)
    if lora.head_bias:
        yield "lm_head.bias", (arch.vocab,)
