"""A decoder-only transformer described by the numbers its cost depends on.

Knows shapes, not weights: no torch, no transformers, no network.
Configurations of other libraries are read in `_configs`; the Qwen2.5 family is built in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from loracast.errors import ConfigError, ModelError

__all__ = ["Architecture", "Projection"]

_Part = Literal["qkv", "out", "mlp_in", "mlp_out"]


@dataclass(frozen=True)
class Projection:
    """One linear map of a layer: module name, place, width in and out, bias.

    `operands` says which of q, k, v it makes (empty outside the attention's inputs).
    """

    name: str
    part: _Part
    n_in: int
    n_out: int
    bias: bool
    operands: str = ""

    @property
    def component(self) -> str:
        """Its dotted name in a cost table."""
        return f"{'attention' if self.part in ('qkv', 'out') else 'mlp'}.{self.name}"


_NAMES: dict[str, tuple[tuple[str, ...], str, tuple[str, ...], str]] = {
    # layout: (makes q, k, v), attention output, MLP inputs, MLP output
    "llama": (("q_proj", "k_proj", "v_proj"), "o_proj", ("gate_proj", "up_proj"), "down_proj"),
    "neox": (("query_key_value",), "dense", ("dense_h_to_4h",), "dense_4h_to_h"),
    "gpt2": (("c_attn",), "c_proj", ("c_fc",), "c_proj"),
    "phi": (("q_proj", "k_proj", "v_proj"), "dense", ("fc1",), "fc2"),
    "phi3": (("qkv_proj",), "o_proj", ("gate_up_proj",), "down_proj"),
}


@dataclass(frozen=True)
class Architecture:
    """The shape of a decoder-only transformer.

    Args:
        layers: number of transformer layers.
        hidden: width of the residual stream.
        heads: attention heads.
        kv_heads: key/value heads (grouped-query attention); equal to `heads` otherwise.
        head_dim: size of one head.
        mlp: width of the MLP.
        vocab: tokens that the embedding and the head hold (fewer when pruned).
        tied: head and embedding share their weights.
        qkv_bias, o_bias, mlp_bias, head_bias: which linear maps add a bias.
        gated_mlp: gate and up projection (SwiGLU and relatives) or one input projection.
        activation: `silu`, `gelu` or `relu`.
        norm: `rmsnorm` or `layernorm`.
        norms_per_layer: norms over the residual stream in a layer.
        qk_norm: an RMSNorm over every query and key head.
        rotary_dims: dimensions of a head that RoPE turns; 0 without RoPE.
        learned_positions: rows of a learned position table; 0 without.
        parallel_residual: attention and MLP read the same input (GPT-NeoX).
        embedding_scale: embeddings are multiplied by a constant (Gemma).
        layout: how the projections are named and fused: llama, neox, gpt2, phi, phi3.
        model_type: the family's name, for messages.

    Raises:
        ModelError: a size below 1, or heads that do not divide into key/value heads.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocab: int
    tied: bool = True
    qkv_bias: bool = True
    o_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    gated_mlp: bool = True
    activation: Literal["silu", "gelu", "relu"] = "silu"
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    norms_per_layer: int = 2
    qk_norm: bool = False
    rotary_dims: int | None = None
    learned_positions: int = 0
    parallel_residual: bool = False
    embedding_scale: bool = False
    layout: str = "llama"
    model_type: str = "qwen2"

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "mlp", "vocab"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ModelError(
                    f"architecture: got {name}={value!r}, expected a whole number of at least 1"
                )
        if self.heads % self.kv_heads:
            raise ModelError(
                f"architecture: got heads={self.heads} and kv_heads={self.kv_heads}, expected "
                "heads to be a multiple of kv_heads"
            )
        if self.layout not in _NAMES:
            raise ModelError(
                f"architecture: got layout={self.layout!r}, expected one of {sorted(_NAMES)}"
            )
        if self.rotary_dims is None:
            object.__setattr__(self, "rotary_dims", self.head_dim)

    # -- where one comes from -------------------------------------------------------------

    @classmethod
    def from_config(cls, config: Any, vocab: int | None = None) -> Architecture:
        """Read a Hugging Face config: a config object, its dict, or a folder with `config.json`.

        Args:
            config: `transformers` config, mapping, or path to a model folder.
            vocab: size after pruning; None keeps the config's.

        Raises:
            ModelError: a family whose cost is not known, or a config that misses a field.
        """
        from loracast.flops._configs import read_config

        architecture = cls(**read_config(config))
        return architecture if vocab is None else architecture.pruned(vocab)

    @classmethod
    def known(cls, name: str) -> Architecture:
        """A built-in architecture by hub id (the Qwen2.5 family), with no network.

        Raises:
            ModelError: the name is not built in.
        """
        from loracast.flops._configs import known_config

        return cls(**known_config(name))

    def pruned(self, vocab: int) -> Architecture:
        """The same model with a vocabulary of `vocab` tokens."""
        return replace(self, vocab=vocab)

    # -- what it consists of --------------------------------------------------------------

    @property
    def q_width(self) -> int:
        """Width of the queries of all heads."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of the keys (and of the values) of all key/value heads."""
        return self.kv_heads * self.head_dim

    @property
    def projections(self) -> tuple[Projection, ...]:
        """The linear maps of one layer, in order of execution."""
        qkv, out, mlp_in, mlp_out = _NAMES[self.layout]
        rows: list[Projection] = []
        if len(qkv) == 1:
            width = self.q_width + 2 * self.kv_width
            rows.append(Projection(qkv[0], "qkv", self.hidden, width, self.qkv_bias, "qkv"))
        else:
            for name, operand in zip(qkv, "qkv", strict=True):
                width = self.q_width if operand == "q" else self.kv_width
                rows.append(Projection(name, "qkv", self.hidden, width, self.qkv_bias, operand))
        rows.append(Projection(out, "out", self.q_width, self.hidden, self.o_bias))
        fused = self.gated_mlp and len(mlp_in) == 1
        for name in mlp_in if self.gated_mlp else mlp_in[-1:]:
            width = self.mlp * (2 if fused else 1)
            rows.append(Projection(name, "mlp_in", self.hidden, width, self.mlp_bias))
        rows.append(Projection(mlp_out, "mlp_out", self.mlp, self.hidden, self.mlp_bias))
        return tuple(rows)

    def resolve_targets(self, names: Iterable[str]) -> tuple[str, ...]:
        """Full projection names for short ones: `q` -> `q_proj`; `all` -> every projection.

        Raises:
            ConfigError: a name that is no projection of this architecture.
        """
        own = tuple(dict.fromkeys(p.name for p in self.projections))
        resolved: list[str] = []
        for name in names:
            if name in ("all", "all-linear"):
                resolved.extend(own)
                continue
            found = next((o for o in own if o in (name, f"{name}_proj")), None)
            if found is None:
                raise ConfigError(
                    f"LoRA targets: got {name!r}, expected projections of {self.model_type}: "
                    f"{', '.join(own)} (short: q, k, v, o), or 'all'"
                )
            resolved.append(found)
        return tuple(dict.fromkeys(resolved))

    @property
    def n_parameters(self) -> int:
        """Parameters of the model, tied weights counted once."""
        per_norm = self.hidden * (2 if self.norm == "layernorm" else 1)
        layer = sum(p.n_in * p.n_out + (p.n_out if p.bias else 0) for p in self.projections)
        layer += self.norms_per_layer * per_norm + (2 * self.head_dim if self.qk_norm else 0)
        embedding = self.vocab * self.hidden
        head = (0 if self.tied else embedding) + (self.vocab if self.head_bias else 0)
        positions = self.learned_positions * self.hidden
        return self.layers * layer + per_norm + embedding + positions + head
