"""Cut a model's vocabulary down to the tokens a task needs, with ids mapped both ways.

Knows token ids, not what they mean. Why: the head is 136.1 of 494 million parameters of
Qwen2.5-0.5B, and a forecast needs a dozen of its 151,936 rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from loracast.errors import ModelError

__all__ = ["Vocabulary", "prune_vocabulary"]


@dataclass(frozen=True)
class Vocabulary:
    """Which full token ids a (pruned) model keeps, in the order of its rows.

    Args:
        kept: (V,) full ids, increasing.
        full_size: rows of the unpruned embedding.
    """

    kept: tuple[int, ...]
    full_size: int

    @property
    def pruned(self) -> bool:
        """Whether rows were cut away."""
        return len(self.kept) != self.full_size

    def to_model(self, full_ids: Iterable[int]) -> np.ndarray:
        """Full ids -> rows of the pruned model, (L,) int64.

        Raises:
            ModelError: an id that was not kept.
        """
        ids = np.fromiter(full_ids, dtype=np.int64)
        if not self.pruned:
            return ids
        kept = np.asarray(self.kept)
        rows = np.searchsorted(kept, ids).clip(max=len(kept) - 1)
        if (kept[rows] != ids).any():
            missing = sorted(set(ids[kept[rows] != ids].tolist()))
            raise ModelError(f"got token ids {missing}; this pruned model keeps only {self.kept}")
        return rows


def prune_vocabulary(model: Any, keep_ids: Iterable[int]) -> Vocabulary:
    """Keep only the given token ids of a causal language model, in place.

    The logits of the pruned model equal those of the full one at the kept ids.

    Args:
        model: a Hugging Face causal LM, tied or untied.
        keep_ids: full token ids to keep; sorted and made unique here.

    Returns:
        The map between full ids and rows.

    Raises:
        ModelError: an id outside the vocabulary, or no id at all.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    full_size = int(embedding.weight.shape[0])
    kept = tuple(sorted({int(i) for i in keep_ids}))
    if not kept or kept[0] < 0 or kept[-1] >= full_size:
        raise ModelError(
            f"got token ids {kept[:3]}..{kept[-1:]} to keep; expected ids of 0..{full_size - 1}"
        )
    rows = torch.tensor(kept, device=embedding.weight.device)
    tied = head is not None and head.weight is embedding.weight

    def cut(weight: torch.Tensor) -> nn.Parameter:
        return nn.Parameter(weight.detach()[rows].clone(), requires_grad=weight.requires_grad)

    embedding.weight = cut(embedding.weight)
    embedding.num_embeddings = len(kept)
    embedding.padding_idx = None
    if head is not None:
        head.weight = embedding.weight if tied else cut(head.weight)
        if getattr(head, "bias", None) is not None:
            head.bias = cut(head.bias)
        head.out_features = len(kept)
    # transformers keeps sizes and special ids in places of its own; stale ones mislead it.
    model.config.get_text_config().vocab_size = len(kept)
    model.config.vocab_size = len(kept)
    if hasattr(model, "vocab_size"):
        model.vocab_size = len(kept)
    for config in (model.config, model.generation_config):
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(config, name, None) is not None:
                setattr(config, name, None)
    return Vocabulary(kept=kept, full_size=full_size)
