"""Which tokens keep a text legal: regular expressions over a model's own tokens, by llguidance.

    regular expression --Guide--> matcher --legal tokens, forced tokens--> guided decoding

Knows tokens and bytes, not what an answer means. llguidance is imported when a guide is made
(`pip install 'loracast[annotate]'`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loracast.errors import ConfigError, ModelError

__all__ = ["Alternatives", "Guide", "Reading"]

MATCHERS_KEPT = 64  # compiled expressions; one takes 20 to 60 ms to make (measured)


@dataclass(frozen=True)
class Alternatives:
    """A place of the answer where one of several labels stands, whose probabilities are wanted.

    Args:
        name: under which they are reported.
        after: the text right before the label; its first occurrence counts.
        labels: none of them the beginning of another.
    """

    name: str
    after: str
    labels: tuple[str, ...]


class Reading:
    """The probabilities of the labels of one choice, read off while an answer is written.

    At each token, the legal tokens are sorted by the labels that they leave possible. A token
    that settles the label gives its probability to that label. Tokens that leave all labels
    possible are other spellings of the same beginning and say nothing. Where a token leaves
    several but not all, the probability of the ones not followed is shared out evenly; with
    labels that differ in their first letters this does not occur.
    """

    def __init__(self, choice: Alternatives) -> None:
        self.choice = choice
        self._after = choice.after.encode()
        self._open = {label: label.encode() for label in choice.labels}
        self._mass = 1.0
        self.probabilities: dict[str, float] = dict.fromkeys(choice.labels, 0.0)

    @property
    def settled(self) -> bool:
        """Whether the answer has decided the label."""
        return len(self._open) < 2

    def _left(self, text: bytes) -> tuple[str, ...] | None:
        """The labels still possible after `text`; None before the choice is reached."""
        place = text.find(self._after)
        if place < 0:
            return None
        rest = text[place + len(self._after) :]
        if not rest:
            return None
        return tuple(
            label
            for label, whole in self._open.items()
            if whole.startswith(rest) or rest.startswith(whole)
        )

    def read(self, text: bytes, legal: Mapping[bytes, float], chosen: bytes) -> None:
        """Take one step: `text` so far, the legal tokens with probabilities, the one chosen."""
        everything = tuple(self._open)
        groups: dict[tuple[str, ...], float] = {}
        followed: tuple[str, ...] | None = None
        for token, probability in legal.items():
            left = self._left(text + token)
            if token == chosen:
                followed = left
            if left is not None and left != everything:
                groups[left] = groups.get(left, 0.0) + probability
        if followed is None or followed == everything:
            return
        total = sum(groups.values())
        for left, share in groups.items():
            mass = self._mass * (share / total if total > 0 else float(left == followed))
            if left == followed:
                following = mass
            else:
                for label in left:
                    self.probabilities[label] += mass / len(left)
        self._mass = following
        self._open = {label: self._open[label] for label in followed}
        if self.settled:
            self.probabilities[followed[0]] += self._mass


class Guide:
    """Legal tokens of a model, for texts given by regular expressions.

    Args:
        tokenizer: a fast tokenizer of transformers.
        size: V of the unpruned model, at least the tokenizer's.
        end_id: full id of the token that ends a text.
        kept: (V',) full ids of a pruned model's rows; None for all.

    Raises:
        ConfigError: llguidance is not installed.
        ModelError: no fast tokenizer.
    """

    def __init__(
        self, tokenizer: Any, size: int, end_id: int, kept: Sequence[int] | None = None
    ) -> None:
        try:
            from llguidance import hf
        except ImportError as problem:
            raise ConfigError(
                "guided decoding needs llguidance, which is not installed; "
                "pip install 'loracast[annotate]'"
            ) from problem
        try:
            self._tokens = hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=end_id)
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(
                f"got a {type(tokenizer).__name__} that cannot guide decoding ({reason}); expected "
                "a fast tokenizer of transformers (tokenizer.json)"
            ) from error
        self.size = int(self._tokens.vocab_size)
        self.end_id = end_id
        self.kept = np.arange(self.size) if kept is None else np.asarray(kept, dtype=np.int64)
        self._row = np.full(self.size, -1, dtype=np.int64)
        self._row[self.kept] = np.arange(len(self.kept))
        self._made: OrderedDict[str, Any] = OrderedDict()
        self._bytes: dict[int, bytes] = {}

    def matcher(self, regex: str) -> Any:
        """A fresh matcher at the beginning of a text.

        Args:
            regex: of the legal texts.

        Raises:
            ConfigError: not a regular expression that llguidance understands.
        """
        if regex in self._made:
            self._made.move_to_end(regex)
        else:
            from llguidance import LLMatcher

            grammar = LLMatcher.grammar_from_lark("start: /" + regex.replace("/", r"\/") + "/\n")
            made = LLMatcher(self._tokens, grammar, log_level=0)
            if made.is_error():
                reason = made.get_error().strip().splitlines()[0]
                raise ConfigError(f"got a grammar that cannot be followed ({reason:.200})")
            self._made[regex] = made
            if len(self._made) > MATCHERS_KEPT:
                self._made.popitem(last=False)
        return self._made[regex].deep_copy()

    def legal(self, matcher: Any) -> np.ndarray:
        """Rows of the model (A,), ascending, that may come next."""
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        rows = np.flatnonzero(bits[self.kept])
        if matcher.is_error() or not len(rows):
            reason = matcher.get_error().strip() or "no token of the model may come next"
            raise ModelError(
                f"guided decoding stopped: {' '.join(reason.split())[:200]}; the model may have "
                "been pruned to too few tokens"
            )
        return rows

    def forced(self, matcher: Any) -> list[int]:
        """Rows of the tokens that must come next; they are not consumed yet."""
        rows = [int(self._row[token]) for token in matcher.compute_ff_tokens()]
        if -1 in rows:
            raise ModelError(
                "guided decoding stopped: the model was pruned of a token that the grammar forces; "
                "keep it"
            )
        return rows

    def consume(self, matcher: Any, row: int) -> None:
        """Move a matcher on by a legal token."""
        if not matcher.consume_token(int(self.kept[row])):
            raise ModelError(f"guided decoding stopped: {matcher.get_error().strip()[:200]}")

    def is_end(self, row: int) -> bool:
        """Whether a row of the model is the token that ends a text."""
        return int(self.kept[row]) == self.end_id

    def spelling(self, row: int) -> bytes:
        """The bytes a token stands for."""
        if row not in self._bytes:
            self._bytes[row] = bytes(self._tokens.decode_bytes([int(self.kept[row])]))
        return self._bytes[row]
