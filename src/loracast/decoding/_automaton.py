"""Which tokens may follow, as a table: a deterministic automaton over a model's vocabulary.

Does not know what a symbol means. Only columns that are legal somewhere are stored, so the
table is as small for 151,936 tokens as for 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from loracast.codec import Grammar
from loracast.errors import CodecError

__all__ = ["Tables", "TokenAutomaton", "stack"]


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """A deterministic automaton over tokens; completed time steps are marked on its edges.

    After construction the arrays hold A columns only, those of tokens that are legal in some
    state; `ids` (A,) names them, and `n_tokens` is the size of the vocabulary.

    Args:
        next_state: (Q, V) int16, or (Q, A) where `token_ids` is given; -1 = not legal.
        ends_step: same shape, bool; this token completes a time step.
        start: the state before the first token of a forecast.
        max_tokens_per_step: upper bound on the tokens of one time step.
        token_ids: (A,) model token id of each column; None = the column's own number.
        vocab_size: V, to check the ids against; None = as many as there are columns or ids.

    Raises:
        CodecError: shapes that disagree, ids outside the vocabulary or repeated, a reachable
            state with no legal token, or a time step that can be longer than declared.
    """

    next_state: np.ndarray
    ends_step: np.ndarray
    start: int
    max_tokens_per_step: int
    token_ids: np.ndarray | None = None
    vocab_size: int | None = None
    ids: np.ndarray = field(init=False, repr=False)
    n_tokens: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = np.asarray(self.next_state)
        ends = np.asarray(self.ends_step, dtype=bool)
        if table.ndim != 2 or ends.shape != table.shape:
            raise CodecError(
                f"token automaton: got next_state {table.shape} and ends_step {ends.shape}; "
                "expected two arrays of one shape (Q states, V tokens)"
            )
        n_states, n_columns = table.shape
        ids = np.arange(n_columns) if self.token_ids is None else np.asarray(self.token_ids)
        if ids.shape != (n_columns,):
            raise CodecError(
                f"token automaton: got {ids.size} token ids for {n_columns} symbols; "
                "expected one each"
            )
        vocab = self.vocab_size
        if vocab is None:
            vocab = n_columns if self.token_ids is None else int(ids.max(initial=-1)) + 1
        if ids.size and (ids.min() < 0 or ids.max() >= vocab):
            raise CodecError(
                f"token automaton: got token ids from {ids.min()} to {ids.max()}; "
                f"expected 0 to {vocab - 1}, the model's vocabulary"
            )
        if len(np.unique(ids)) != ids.size:
            raise CodecError(
                "token automaton: got one token id for several symbols; expected distinct ids"
            )
        if not 0 <= self.start < n_states or table.min(initial=-1) < -1 or table.max() >= n_states:
            raise CodecError(
                f"token automaton: got start {self.start} and states up to {table.max()}; "
                f"expected -1 (not legal) or 0 to {n_states - 1}"
            )
        used = (table >= 0).any(axis=0)
        table, ends = table[:, used].astype(np.int16), ends[:, used] & (table[:, used] >= 0)
        object.__setattr__(self, "next_state", table)
        object.__setattr__(self, "ends_step", ends)
        object.__setattr__(self, "ids", ids[used].astype(np.int64))
        object.__setattr__(self, "n_tokens", int(vocab))
        self._check_reachable()

    @classmethod
    def from_grammar(
        cls, grammar: Grammar, token_ids: np.ndarray, vocab_size: int | None
    ) -> TokenAutomaton:
        """The automaton of a codec's grammar, where symbol a is the token `token_ids[a]`.

        Raises:
            CodecError: as the class does.
        """
        return cls(
            next_state=grammar.next_state,
            ends_step=grammar.ends_step,
            start=grammar.start,
            max_tokens_per_step=grammar.max_symbols_per_step,
            token_ids=np.asarray(token_ids),
            vocab_size=vocab_size,
        )

    def _check_reachable(self) -> None:
        table, ends = self.next_state, self.ends_step
        seen = np.zeros(len(table), dtype=bool)
        todo = [self.start]
        while todo:
            state = todo.pop()
            if seen[state]:
                continue
            seen[state] = True
            following = np.unique(table[state][table[state] >= 0])
            if following.size == 0:
                raise CodecError(
                    f"token automaton: state {state} can be reached but no token is legal there; "
                    "expected at least one"
                )
            todo.extend(int(q) for q in following)
        # Longest way to a step's end, by value iteration; a loop without an end never settles.
        longest = np.zeros(len(table), dtype=np.int64)
        for _ in range(self.max_tokens_per_step + 1):
            reach = np.where(ends, 1, 1 + longest[np.maximum(table, 0)])
            new = np.where(table >= 0, reach, 0).max(axis=1)
            if np.array_equal(new[seen], longest[seen]):
                break
            longest = new
        if longest[seen].max() > self.max_tokens_per_step:
            raise CodecError(
                "token automaton: a time step can take more than the declared "
                f"{self.max_tokens_per_step} tokens; expected max_tokens_per_step to bound it"
            )

    @property
    def forced(self) -> np.ndarray:
        """(Q,) the only legal column of a state, or -1 where there is a choice."""
        legal = self.next_state >= 0
        return np.where(legal.sum(axis=1) == 1, legal.argmax(axis=1), -1)


@dataclass(frozen=True)
class Tables:
    """Several automata side by side, over the union of their tokens.

    Args:
        token_ids: (A,) model token ids, ascending.
        next_state: (Q, A) int32, -1 = not legal.
        ends_step: (Q, A) bool.
        forced: (Q,) the only legal column, or -1.
        starts: the start state of each automaton given to `stack`.
    """

    token_ids: np.ndarray
    next_state: np.ndarray
    ends_step: np.ndarray
    forced: np.ndarray
    starts: tuple[int, ...]

    @property
    def legal(self) -> np.ndarray:
        """(Q, A) bool."""
        legal: np.ndarray = self.next_state >= 0
        return legal


def stack(automata: Sequence[TokenAutomaton]) -> Tables:
    """One table for one automaton per prompt; equal objects share their states."""
    distinct: dict[int, TokenAutomaton] = {id(a): a for a in automata}
    token_ids = np.unique(np.concatenate([a.ids for a in distinct.values()]))
    n_states = sum(len(a.next_state) for a in distinct.values())
    next_state = np.full((n_states, token_ids.size), -1, dtype=np.int32)
    ends_step = np.zeros((n_states, token_ids.size), dtype=bool)
    first: dict[int, int] = {}
    offset = 0
    for key, automaton in distinct.items():
        columns = np.searchsorted(token_ids, automaton.ids)
        rows = slice(offset, offset + len(automaton.next_state))
        own = automaton.next_state.astype(np.int32)
        next_state[rows, columns] = np.where(own >= 0, own + offset, -1)
        ends_step[rows, columns] = automaton.ends_step
        first[key] = offset
        offset += len(automaton.next_state)
    legal = next_state >= 0
    return Tables(
        token_ids=token_ids,
        next_state=next_state,
        ends_step=ends_step,
        forced=np.where(legal.sum(axis=1) == 1, legal.argmax(axis=1), -1),
        starts=tuple(first[id(a)] + a.start for a in automata),
    )
