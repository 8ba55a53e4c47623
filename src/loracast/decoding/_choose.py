"""From logits to tokens: one uniform per choice, and only legal tokens.

The uniform of a choice depends on (seed, key, sample, token index) alone, so neither the
batch nor its order can change an answer, except through the last bits of the logits.
"""

from __future__ import annotations

import hashlib

import numpy as np

from loracast.errors import ModelError

__all__ = ["choose", "uniforms"]


def uniforms(seed: int, key: str, sample: int, n_tokens: int) -> np.ndarray:
    """(n_tokens,) float64 in [0, 1) of one path: Philox, keyed by a hash of what the path is.

    Element t is the same for every `n_tokens` > t. Philox: Salmon et al., "Parallel random
    numbers: as easy as 1, 2, 3", SC 2011.
    """
    name = f"loracast:{int(seed)}:{int(sample)}:{key}".encode()
    digest = hashlib.blake2b(name, digest_size=16).digest()
    bits = np.random.Philox(key=np.frombuffer(digest, dtype="<u8").astype(np.uint64))
    return np.random.Generator(bits).random(n_tokens)


def choose(
    logits: np.ndarray,
    legal: np.ndarray,
    uniform: np.ndarray | None,
    *,
    temperature: float = 1.0,
) -> np.ndarray:
    """One column per row: by inverse CDF over the legal columns, or the best where greedy.

    Args:
        logits: (R, A) float64.
        legal: (R, A) bool, at least one True per row.
        uniform: (R,) in [0, 1), or None for the most probable legal column.
        temperature: divides the logits.

    Returns:
        (R,) int64 columns.

    Raises:
        ModelError: a logit of a legal token is not a number.
    """
    masked = np.where(legal, logits, -np.inf)
    best = masked.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise ModelError(
            "got logits that are not finite from the model; expected finite numbers; "
            "the weights or the adapter are broken, or dtype is too narrow"
        )
    if uniform is None:
        return masked.argmax(axis=1)
    weight = np.exp((masked - best) / temperature)
    cdf = np.cumsum(weight, axis=1)
    below = cdf <= uniform[:, None] * cdf[:, -1:]
    # Rounding can put u x total on the total itself: then the last column with any weight.
    last = weight.shape[1] - 1 - (weight[:, ::-1] > 0).argmax(axis=1)
    return np.minimum(below.sum(axis=1), last)
