"""Hugging Face configurations read as architecture facts.

One small reader per layout of projections; a family that is not listed is refused, because a
cost that is silently wrong is worse than none. The Qwen2.5 sizes are built in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from loracast.errors import ModelError

__all__ = ["FAMILIES", "KNOWN", "known_config", "read_config"]

# Source: config.json of Qwen/Qwen2.5-* on the Hugging Face hub, and Qwen2.5 Technical Report
# (arXiv:2412.15115), table 1. layers, hidden, heads, kv heads, mlp, vocabulary, tied.
_QWEN25 = {
    "0.5B": (24, 896, 14, 2, 4864, 151936, True),
    "1.5B": (28, 1536, 12, 2, 8960, 151936, True),
    "3B": (36, 2048, 16, 2, 11008, 151936, True),
    "7B": (28, 3584, 28, 4, 18944, 152064, False),
    "14B": (48, 5120, 40, 8, 13824, 152064, False),
    "32B": (64, 5120, 40, 8, 27648, 152064, False),
    "72B": (80, 8192, 64, 8, 29568, 152064, False),
}
KNOWN = tuple(f"Qwen/Qwen2.5-{size}{kind}" for size in _QWEN25 for kind in ("", "-Instruct"))

# Families whose layers are: norm, q/k/v, RoPE, attention, o, norm, gated MLP.
_LLAMA_LIKE: dict[str, dict[str, Any]] = {
    "llama": {"qkv_bias": "attention_bias", "o_bias": "attention_bias", "mlp_bias": "mlp_bias"},
    "mistral": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qkv_bias": "attention_bias", "o_bias": "attention_bias", "qk_norm": True},
    "gemma": {
        "qkv_bias": "attention_bias",
        "o_bias": "attention_bias",
        "embedding_scale": True,
        "tied_default": True,
    },
    "gemma2": {
        "qkv_bias": "attention_bias",
        "o_bias": "attention_bias",
        "embedding_scale": True,
        "tied_default": True,
        "norms_per_layer": 4,
    },
}
FAMILIES = (*sorted(_LLAMA_LIKE), "gpt2", "gpt_neox", "phi", "phi3")


def known_config(name: str) -> dict[str, Any]:
    """Architecture facts of a built-in model.

    Raises:
        ModelError: the name is not built in.
    """
    if name not in KNOWN:
        raise ModelError(
            f"model: got {name!r}, expected a folder with config.json or a built-in shape: "
            "Qwen/Qwen2.5-{0.5B,1.5B,3B,7B,14B,32B,72B}[-Instruct]"
        )
    size = name.removeprefix("Qwen/Qwen2.5-").removesuffix("-Instruct")
    layers, hidden, heads, kv_heads, mlp, vocab, tied = _QWEN25[size]
    return {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": hidden // heads,
        "mlp": mlp,
        "vocab": vocab,
        "tied": tied,
        "qkv_bias": True,
        "model_type": "qwen2",
    }


def read_config(config: Any) -> dict[str, Any]:
    """Architecture facts of a config object, mapping, or model folder.

    Raises:
        ModelError: unreadable, of an unknown family, or missing a field.
    """
    values = _as_mapping(config)
    family = values.get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"config: got model_type={family!r}, expected one of {', '.join(FAMILIES)}; "
            "the cost of other families is not known"
        )
    try:
        if family in _LLAMA_LIKE:
            return _read_llama_like(values, family)
        return {"gpt2": _read_gpt2, "gpt_neox": _read_neox, "phi": _read_phi, "phi3": _read_phi3}[
            family
        ](values)
    except KeyError as missing:
        raise ModelError(f"config of {family}: field {missing} is missing") from None


def _as_mapping(config: Any) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    if isinstance(config, str | PathLike):
        path = Path(config)
        path = path / "config.json" if path.is_dir() else path
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"config: cannot read {path}: {error.strerror or error}") from None
        except ValueError:
            raise ModelError(
                f"config: {path} is not JSON, expected a model's config.json"
            ) from None
        if not isinstance(loaded, dict):
            raise ModelError(f"config: {path} holds no JSON object, expected a model's config.json")
        return loaded
    if hasattr(config, "to_dict"):
        values = dict(config.to_dict())
        values.setdefault("model_type", getattr(config, "model_type", None))
        return values
    raise ModelError(
        f"config: got {type(config).__name__}, expected a config object, its dict, or a "
        "model folder"
    )


def _activation(name: Any) -> str:
    text = str(name).lower()
    for kind in ("silu", "gelu", "relu"):
        if kind in text:
            return kind
    if "swish" in text:
        return "silu"
    raise ModelError(f"config: got activation {name!r}, expected a silu, gelu or relu")


def _rotary_share(values: Mapping[str, Any], default: float) -> float:
    parameters = values.get("rope_parameters") or {}
    for key in ("partial_rotary_factor", "rotary_pct"):
        if values.get(key) is not None:
            return float(values[key])
        if isinstance(parameters, Mapping) and parameters.get(key) is not None:
            return float(parameters[key])
    return default


def _read_llama_like(values: Mapping[str, Any], family: str) -> dict[str, Any]:
    rules: dict[str, Any] = dict(_LLAMA_LIKE[family])
    heads = values["num_attention_heads"]
    activation = values.get("hidden_activation") or values.get("hidden_act") or "silu"
    facts: dict[str, Any] = {
        "layers": values["num_hidden_layers"],
        "hidden": values["hidden_size"],
        "heads": heads,
        "kv_heads": values.get("num_key_value_heads") or heads,
        "head_dim": values.get("head_dim") or values["hidden_size"] // heads,
        "mlp": values["intermediate_size"],
        "vocab": values["vocab_size"],
        "tied": bool(values.get("tie_word_embeddings", rules.pop("tied_default", False))),
        "activation": _activation(activation),
        "qkv_bias": False,
        "model_type": family,
    }
    for field, rule in rules.items():
        if field != "tied_default":
            facts[field] = bool(values.get(rule, False)) if isinstance(rule, str) else rule
    return facts


def _read_neox(values: Mapping[str, Any]) -> dict[str, Any]:
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    bias = bool(values.get("attention_bias", True))
    return {
        "layers": values["num_hidden_layers"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": hidden // heads,
        "mlp": values["intermediate_size"],
        "vocab": values["vocab_size"],
        "tied": bool(values.get("tie_word_embeddings", False)),
        "qkv_bias": bias,
        "o_bias": bias,
        "mlp_bias": True,
        "gated_mlp": False,
        "activation": _activation(values.get("hidden_act", "gelu")),
        "norm": "layernorm",
        "rotary_dims": int(hidden // heads * _rotary_share(values, 0.25)),
        "parallel_residual": bool(values.get("use_parallel_residual", True)),
        "layout": "neox",
        "model_type": "gpt_neox",
    }


def _read_gpt2(values: Mapping[str, Any]) -> dict[str, Any]:
    hidden, heads = values["n_embd"], values["n_head"]
    return {
        "layers": values["n_layer"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": hidden // heads,
        "mlp": values.get("n_inner") or 4 * hidden,
        "vocab": values["vocab_size"],
        "tied": bool(values.get("tie_word_embeddings", True)),
        "qkv_bias": True,
        "o_bias": True,
        "mlp_bias": True,
        "gated_mlp": False,
        "activation": _activation(values.get("activation_function", "gelu_new")),
        "norm": "layernorm",
        "rotary_dims": 0,
        "learned_positions": values["n_positions"],
        "layout": "gpt2",
        "model_type": "gpt2",
    }


def _read_phi(values: Mapping[str, Any]) -> dict[str, Any]:
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    return {
        "layers": values["num_hidden_layers"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": values.get("num_key_value_heads") or heads,
        "head_dim": hidden // heads,
        "mlp": values["intermediate_size"],
        "vocab": values["vocab_size"],
        "tied": bool(values.get("tie_word_embeddings", False)),
        "qkv_bias": True,
        "o_bias": True,
        "mlp_bias": True,
        "head_bias": True,
        "gated_mlp": False,
        "activation": _activation(values.get("hidden_act", "gelu_new")),
        "norm": "layernorm",
        "norms_per_layer": 1,
        "rotary_dims": int(hidden // heads * _rotary_share(values, 0.5)),
        "parallel_residual": True,
        "layout": "phi",
        "model_type": "phi",
    }


def _read_phi3(values: Mapping[str, Any]) -> dict[str, Any]:
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    head_dim = values.get("head_dim") or hidden // heads
    return {
        "layers": values["num_hidden_layers"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": values.get("num_key_value_heads") or heads,
        "head_dim": head_dim,
        "mlp": values["intermediate_size"],
        "vocab": values["vocab_size"],
        "tied": bool(values.get("tie_word_embeddings", False)),
        "qkv_bias": False,
        "activation": _activation(values.get("hidden_act", "silu")),
        "rotary_dims": int(head_dim * _rotary_share(values, 1.0)),
        "layout": "phi3",
        "model_type": "phi3",
    }
