"""Automata: what is refused, and what a plain loop says they allow."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.codec import make_codec
from loracast.decoding import TokenAutomaton
from loracast.decoding._automaton import stack
from loracast.errors import CodecError

from .conftest import GRAMMARS, fixed_width, variable_width

TWO = np.array([[1, -1], [-1, 0]], dtype=np.int16)
END = np.array([[False, False], [False, True]])


def test_a_grammar_becomes_an_automaton_over_the_models_tokens():
    grammar = make_codec("compact").grammar(2)
    ids = 1000 - 7 * np.arange(grammar.next_state.shape[1])
    found = TokenAutomaton.from_grammar(grammar, ids, 1001)
    for state in range(len(grammar.next_state)):
        for symbol, token in enumerate(ids):
            expected = grammar.next_state[state, symbol]
            columns = np.flatnonzero(found.ids == token)
            got = found.next_state[state, columns[0]] if columns.size else -1
            assert got == expected
            if expected >= 0:
                assert found.ends_step[state, columns[0]] == grammar.ends_step[state, symbol]


def test_stacked_automata_keep_their_own_rules():
    each = [factory() for factory in GRAMMARS.values()]
    tables = stack([*each, each[0]])
    assert tables.starts[0] == tables.starts[-1]
    assert len(tables.next_state) == sum(len(a.next_state) for a in each)
    for start, own in zip(tables.starts, each, strict=False):
        offset = start - own.start
        for state in range(len(own.next_state)):
            legal = {
                int(t): (int(q), bool(e))
                for t, q, e in zip(
                    own.ids, own.next_state[state], own.ends_step[state], strict=True
                )
                if q >= 0
            }
            row = state + offset
            found = {
                int(t): (int(q) - offset, bool(e))
                for t, q, e in zip(
                    tables.token_ids, tables.next_state[row], tables.ends_step[row], strict=True
                )
                if q >= 0
            }
            assert found == legal
            assert (tables.forced[row] >= 0) == (len(legal) == 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ends_step": END[:, :1]}, "one shape"),
        ({"token_ids": np.array([3])}, "1 token ids for 2 symbols"),
        ({"token_ids": np.array([3, 9]), "vocab_size": 9}, "expected 0 to 8"),
        ({"token_ids": np.array([-1, 3])}, "from -1 to 3"),
        ({"token_ids": np.array([3, 3])}, "distinct ids"),
        ({"start": 2}, "got start 2"),
        ({"next_state": np.array([[1, -1], [-1, 5]], dtype=np.int16)}, "states up to 5"),
        ({"next_state": np.array([[1, -1], [-1, -1]], dtype=np.int16)}, "no token is legal"),
        ({"max_tokens_per_step": 1}, "more than the declared 1"),
        ({"ends_step": np.zeros((2, 2), bool), "max_tokens_per_step": 50}, "more than"),
    ],
)
def test_what_cannot_be_decoded_is_refused_in_one_line(change, message):
    good = {"next_state": TWO, "ends_step": END, "start": 0, "max_tokens_per_step": 2}
    TokenAutomaton(**good)
    with pytest.raises(CodecError, match=message) as caught:
        TokenAutomaton(**{**good, **change})
    assert "\n" not in str(caught.value)


def test_the_longest_step_may_be_declared_too_long_but_not_too_short():
    for factory, longest in ((fixed_width, 6), (variable_width, 8)):
        own = factory()
        parts = (own.next_state, own.ends_step, own.start)
        TokenAutomaton(*parts, longest + 5)
        with pytest.raises(CodecError, match="more than the declared"):
            TokenAutomaton(*parts, longest - 1)
