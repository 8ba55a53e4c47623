"""Builds the grammar tables of codecs whose numbers have no fixed width.

A codec names its states as tuples and says, for one state, which characters may follow; this file
walks them all once and numbers them. Knows nothing of what the characters mean.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from loracast.codec._base import Grammar
from loracast.errors import CodecError

__all__ = ["Moves", "build_grammar", "walk"]

# state -> {character: (next state, does it complete a time step)}
Moves = Callable[[Hashable], dict[str, tuple[Hashable, bool]]]


def build_grammar(alphabet: tuple[str, ...], start: Hashable, moves: Moves) -> Grammar:
    """The tables of every state that can be reached from `start`.

    Raises:
        CodecError: more states than an int16 can number (too many channels).
    """
    number: dict[Hashable, int] = {start: 0}
    found: list[Hashable] = [start]
    edges: list[dict[str, tuple[int, bool]]] = []
    while len(edges) < len(found):
        row = {}
        for symbol, (target, ends) in moves(found[len(edges)]).items():
            if target not in number:
                number[target] = len(found)
                found.append(target)
            row[symbol] = (number[target], ends)
        edges.append(row)
        if len(found) > np.iinfo(np.int16).max:
            raise CodecError("got too many channels for one grammar; expected fewer than 1,000")
    place = {symbol: i for i, symbol in enumerate(alphabet)}
    next_state = np.full((len(found), len(alphabet)), -1, dtype=np.int16)
    ends_step = np.zeros(next_state.shape, dtype=bool)
    for state, row in enumerate(edges):
        for symbol, (target_id, ends) in row.items():
            next_state[state, place[symbol]] = target_id
            ends_step[state, place[symbol]] = ends
    return Grammar(next_state, ends_step, 0, _longest_step(edges))


def walk(grammar: Grammar, symbols: np.ndarray) -> tuple[int, int]:
    """Reads symbols (L,): the place of the first illegal one or -1, and where whole steps end."""
    next_state, ends_step = grammar.next_state.tolist(), grammar.ends_step.tolist()
    state, whole = grammar.start, 0
    for at, symbol in enumerate(symbols.tolist()):
        target = next_state[state][symbol]
        if target < 0:
            return at, whole
        if ends_step[state][symbol]:
            whole = at + 1
        state = target
    return -1, whole


def _longest_step(edges: list[dict[str, tuple[int, bool]]]) -> int:
    """The longest path from the start to the end of a step; the graph within a step has no cycle.

    States are relaxed in the order of a depth-first search, without recursion: a step of many
    channels is longer than Python's stack.
    """
    order: list[int] = []
    seen = {0}
    stack: list[tuple[int, list[int]]] = [(0, _inner_targets(edges[0]))]
    while stack:
        state, rest = stack[-1]
        if rest:
            target = rest.pop()
            if target not in seen:
                seen.add(target)
                stack.append((target, _inner_targets(edges[target])))
        else:
            order.append(state)
            stack.pop()
    longest = dict.fromkeys(order, 0)
    for state in order:  # every inner target comes before its source
        longest[state] = max(
            1 + (0 if ends else longest[target]) for target, ends in edges[state].values()
        )
    return longest[0]


def _inner_targets(row: dict[str, tuple[int, bool]]) -> list[int]:
    return [target for target, ends in row.values() if not ends]
