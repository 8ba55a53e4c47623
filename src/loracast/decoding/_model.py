"""What decoding needs to know of a causal LM, and one forward pass through it.

Knows Hugging Face's calling convention, with or without PEFT around it; no architecture by
name. `generation_config` is never read.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch

from loracast.errors import ModelError

__all__ = ["CausalModel"]


class CausalModel:
    """A causal LM in evaluation mode, and the few facts about it.

    Args:
        model: a Hugging Face causal LM, possibly wrapped by PEFT.
        dtype: None computes as the weights are; otherwise autocast to it.

    Raises:
        ModelError: the model is in training mode.
    """

    def __init__(self, model: Any, dtype: torch.dtype | None) -> None:
        if model.training:
            raise ModelError(
                "got a model in training mode; expected evaluation mode; call model.eval() first"
            )
        self.model = model
        self.base = model.get_base_model() if hasattr(model, "get_base_model") else model
        config = self.base.config
        self.config = config.get_text_config() if hasattr(config, "get_text_config") else config
        self.device = next(model.parameters()).device
        self.dtype = dtype
        parameters = inspect.signature(self.base.forward).parameters
        self.selects_logits = "logits_to_keep" in parameters
        self.n_layers = int(self.config.num_hidden_layers)

    @property
    def max_positions(self) -> int | None:
        """The longest sequence the model has positions for, or None where it has no limit."""
        limit = getattr(self.config, "max_position_embeddings", None)
        return None if limit is None else int(limit)

    @property
    def window(self) -> int | None:
        """The sliding window of its narrowest attention layer, or None where all see all."""
        window = getattr(self.config, "sliding_window", None)
        types = getattr(self.config, "layer_types", None)
        if window is None or (types is not None and "sliding_attention" not in types):
            return None
        return int(window) if getattr(self.config, "use_sliding_window", True) else None

    @property
    def shares_prefix(self) -> bool:
        """Whether its attention goes through transformers' AttentionInterface."""
        types = getattr(self.config, "layer_types", None) or []
        return bool(getattr(self.base, "_supports_attention_backend", False)) and set(types) <= {
            "full_attention",
            "sliding_attention",
        }

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Inference mode, in the asked precision."""
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            if self.dtype is not None:
                stack.enter_context(torch.autocast(self.device.type, dtype=self.dtype))
            yield

    def forward(self, keep: torch.Tensor, **inputs: Any) -> tuple[torch.Tensor, Any, int]:
        """Logits at chosen positions.

        Args:
            keep: (K,) the positions, the same in every row.
            inputs: of the model's forward; input_ids (B, L) among them.

        Returns:
            logits (B, K, V), the cache, and how many positions met the head.
        """
        if self.selects_logits:
            out = self.model(logits_to_keep=keep, **inputs)
            return out.logits, out.past_key_values, keep.numel() * out.logits.shape[0]
        out = self.model(**inputs)
        rows, length = out.logits.shape[:2]
        return out.logits[:, keep], out.past_key_values, rows * length
