"""Ask a tokenizer how it cuts numbers, before any number is trusted to it.

Knows symbols as characters only. Why: a tokenizer that merges digits ('123' as one token) shows
a model other tokens than the ones a digit codec would feed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loracast.errors import ModelError

__all__ = ["Probe", "probe_tokenizer", "symbol_ids"]

_SAMPLE = "0123456789 9876 50 331"


@dataclass(frozen=True)
class Probe:
    """What a tokenizer does with digits.

    Args:
        splits_digits: every token of a run of digits holds exactly one of them.
        merged: examples of tokens with several digits.
    """

    splits_digits: bool
    merged: tuple[str, ...]


def _token_id(tokenizer: Any, symbol: str) -> int | None:
    ids = tokenizer.encode(symbol, add_special_tokens=False)
    if len(ids) == 1:
        return int(ids[0])
    # SentencePiece puts a marker before the first piece; the bare symbol may still be a token.
    bare = tokenizer.convert_tokens_to_ids(symbol)
    if bare is None or bare == tokenizer.unk_token_id:
        return None
    return int(bare)


def probe_tokenizer(tokenizer: Any) -> Probe:
    """Encode a few numbers and look at the pieces."""
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(_SAMPLE, add_special_tokens=False)]
    merged = tuple(p for p in pieces if sum(c.isdigit() for c in p) > 1)
    singles = all(_token_id(tokenizer, d) is not None for d in "0123456789")
    return Probe(splits_digits=not merged and singles, merged=merged)


def symbol_ids(
    tokenizer: Any, alphabet: Sequence[str], *, adjacent_digits: bool = True
) -> tuple[int, ...]:
    """The token id of every symbol, one token each.

    Args:
        tokenizer: a Hugging Face tokenizer.
        alphabet: A single characters.
        adjacent_digits: whether the codec writes digits next to each other; only then does a
            tokenizer that merges them stand in the way.

    Raises:
        ModelError: digits are merged, or a symbol has no token of its own.
    """
    probe = probe_tokenizer(tokenizer)
    if adjacent_digits and not probe.splits_digits:
        raise ModelError(
            f"this tokenizer merges digits (got the tokens {list(probe.merged)[:4]}); digit codecs "
            "need one token per digit: use the codec 'llmtime', which spaces digits apart, "
            "or a model whose tokenizer splits them (Qwen2.5, Llama 2, Gemma, the embedded base)"
        )
    ids = [_token_id(tokenizer, s) for s in alphabet]
    missing = [s for s, i in zip(alphabet, ids, strict=True) if i is None]
    if missing:
        raise ModelError(
            f"this tokenizer has no single token for the symbols {missing}; "
            "choose a codec whose symbols it has, for example 'mao' without signs"
        )
    found = tuple(i for i in ids if i is not None)
    if len(set(found)) != len(found):
        raise ModelError(
            "this tokenizer maps several of the codec's symbols to one token; "
            "choose another codec or model"
        )
    return found
