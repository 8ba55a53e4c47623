"""Properties that hold for any series: round trip, order, grammar, text."""

from __future__ import annotations

import json
import random
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.codec import Codec, Grammar, State, make_codec
from loracast.codec._registry import PRESETS

CODECS = {
    "compact": make_codec("compact", digits=3, headroom=0.2),
    "compact-2": make_codec("compact", digits=2),
    "compact-4": make_codec("compact", digits=4, headroom=0.1),
    "compact-bare": make_codec("compact", digits=3, headroom=0.2, separator=""),
    "compact-log": make_codec("compact", digits=3, headroom=0.2, transform="log"),
    "compact-asinh": make_codec("compact", digits=3, headroom=0.2, transform="asinh"),
    "mao": make_codec("mao", global_scale=2.0, signed=True, missing=True),
    "fung": make_codec("fung", signed=True, missing=True),
    "fung-short": make_codec("fung", signed=True, missing=True, trailing_zeros=False),
    "miller": make_codec("miller", signed=True, missing=True),
    "llmtime": make_codec("llmtime"),
    "annotation": make_codec("annotation"),
}
COMPACT = [name for name in CODECS if name.startswith("compact")]
TEXT = ["mao", "fung", "fung-short", "miller", "llmtime"]

NUMBERS = st.one_of(
    st.floats(-1e300, 1e300, allow_subnormal=False),
    st.floats(-1e-290, 1e-290, allow_subnormal=False),
    st.floats(-100.0, 100.0, allow_subnormal=False),
    st.sampled_from([0.0, 1.0, -1.0, 1e300, -1e300, 1e-300, -1e-300]),
)


@st.composite
def series(draw: st.DrawFn, numbers: st.SearchStrategy[float] = NUMBERS) -> np.ndarray:
    """(T, C) with at least one value per channel, with gaps, often constant, often one point."""
    n_steps, n_channels = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    columns = []
    for _ in range(n_channels):
        if draw(st.booleans()):
            column = [draw(numbers)] * n_steps
        else:
            column = draw(st.lists(numbers, min_size=n_steps, max_size=n_steps))
        gaps = draw(st.lists(st.booleans(), min_size=n_steps, max_size=n_steps))
        gaps[draw(st.integers(0, n_steps - 1))] = False
        columns.append(np.where(gaps, np.nan, column))
    return np.stack(columns, axis=1)


def fitted(codec: Codec, context: np.ndarray) -> tuple[np.ndarray, State]:
    """The context in the codec's domain, and its state."""
    if codec.config().get("transform") == "log":
        context = np.maximum(np.abs(context), 1e-300)
    if codec.name == "annotation":
        context = context[:, :1]
    return context, codec.fit(context)


def random_walk(grammar: Grammar, n_steps: int, seed: int) -> list[int]:
    """Symbols of whole steps, each drawn evenly from what the grammar allows."""
    rng, state, symbols = random.Random(seed), grammar.start, []
    longest = n_steps * grammar.max_symbols_per_step
    while n_steps:
        assert len(symbols) < longest, "a step longer than the grammar says"
        symbol = rng.choice(np.flatnonzero(grammar.next_state[state] >= 0).tolist())
        symbols.append(symbol)
        n_steps -= bool(grammar.ends_step[state, symbol])
        state = int(grammar.next_state[state, symbol])
    return symbols


@pytest.mark.parametrize("name", COMPACT)
@given(data=st.data())
@settings(max_examples=60)
def test_compact_comes_back_within_half_a_local_step(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    context, state = fitted(codec, data.draw(series()))
    encoded = codec.encode(context, state)
    back = codec.decode(encoded, state)
    assert back.shape == context.shape
    assert np.array_equal(np.isnan(back), np.isnan(context))
    # The oracle knows nothing of the map: the texts one code lower and one code higher are read
    # too, and the value must lie no further from its own text than half of the wider neighbour
    # gap in a linear map, or than the neighbours themselves in a bent one.
    share = 0.5 if name not in ("compact-log", "compact-asinh") else 0.55
    for (t, c), value in np.ndenumerate(context):
        if np.isnan(value):
            continue
        width = codec.config()["digits"]
        start = t * (len(encoded) // len(context)) + c * width
        code = int(codec.text(encoded[start : start + width]))
        assert 0 < code < 10**width - 1
        gaps = []
        for neighbour in (code - 1, code + 1):
            symbols = encoded.copy()
            symbols[start : start + width] = [int(d) for d in f"{neighbour:0{width}d}"]
            gaps.append(abs(codec.decode(symbols, state)[t, c] - back[t, c]))
        assert min(gaps) > 0.0
        slack = 4e-16 * abs(value) + 5e-308
        assert abs(back[t, c] - value) <= share * max(gaps) * (1 + 1e-9) + slack


@pytest.mark.parametrize("name", ["mao", "miller", "fung", "fung-short", "llmtime"])
@given(values=series(st.floats(-900.0, 900.0)))
@settings(max_examples=60)
def test_decimals_come_back_within_half_a_step(name: str, values: np.ndarray) -> None:
    codec = CODECS[name]
    if name in ("miller", "llmtime"):  # their scale follows the context: any size will do
        values = values * 1e290
    state = codec.fit(values)
    try:
        encoded = codec.encode(values, state)
    except Exception as error:  # noqa: BLE001
        # A context of almost only zeros has a 90th percentile far below its maximum.
        assert name == "miller", error
        assert "digits before the point" in str(error)
        return
    back = codec.decode(encoded, state)
    assert np.array_equal(np.isnan(back), np.isnan(values))
    step = np.array(state.scale) * {"mao": 0.01, "miller": 0.01}.get(name, 0.001)
    limit = 0.5 * step * (1 + 1e-6) + 4e-16 * np.abs(values)
    assert (np.abs(back - values) <= limit)[~np.isnan(values)].all()


@given(values=series())
@settings(max_examples=60)
def test_annotation_comes_back_within_half_a_bin(values: np.ndarray) -> None:
    codec = CODECS["annotation"]
    context, state = fitted(codec, values)
    back = codec.decode(codec.encode(context, state), state)
    assert np.array_equal(np.isnan(back), np.isnan(context))
    error = np.abs(back - context)[~np.isnan(context)]
    assert (error <= 0.5 * state.scale[0] * (1 + 1e-4) + 1e-15 * np.nanmax(np.abs(context))).all()


@pytest.mark.parametrize("name", list(CODECS))
@given(values=series(st.floats(-50.0, 50.0)), seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_order_is_kept(name: str, values: np.ndarray, seed: int) -> None:
    codec = CODECS[name]
    context, state = fitted(codec, values)
    reach = 20.0 * (1.0 + np.nanmax(np.abs(context)))
    probe = np.sort(np.random.default_rng(seed).uniform(-reach, reach, (40, context.shape[1])), 0)
    if codec.config().get("transform") == "log":
        probe = np.sort(np.abs(probe) + 1e-9, axis=0)
    low, high = codec.limits(state)
    back = codec.decode(codec.encode(np.clip(probe, low, high), state), state)
    assert (np.diff(back, axis=0) >= 0.0).all()


@pytest.mark.parametrize("name", list(CODECS))
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_any_walk_through_the_grammar_is_a_finite_forecast(
    name: str, data: st.DataObject, seed: int
) -> None:
    codec = CODECS[name]
    context, state = fitted(codec, data.draw(series()))
    grammar = codec.grammar(context.shape[1])
    symbols = random_walk(grammar, 6, seed)
    values = codec.decode(np.array(symbols), state)
    assert values.shape == (6, context.shape[1])
    assert np.isfinite(values).all()
    # Values that float64 itself cuts (exp of a wide range of logs) are the same for many texts.
    cut = (np.abs(values) > 1e307).any() or (np.abs(values) < 1e-305).any()
    if not cut:
        again = codec.encode(values, state)
        text = codec.text(again)
        if name == "annotation":  # a walk continues an open list; encode() writes a whole one
            text = text.strip("[]") + ", "
        assert text == codec.text(np.array(symbols))


@pytest.mark.parametrize("name", list(CODECS))
@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_grammar_tables(name: str, n_channels: int) -> None:
    codec = CODECS[name]
    n_channels = 1 if name == "annotation" else n_channels
    grammar = codec.grammar(n_channels)
    n_states, n_symbols = grammar.next_state.shape
    assert n_symbols == len(codec.alphabet)
    assert grammar.next_state.dtype == np.int16
    assert grammar.ends_step.dtype == bool
    assert grammar.ends_step.shape == grammar.next_state.shape
    assert grammar.next_state.max() < n_states
    assert (grammar.next_state >= 0).any(axis=1).all(), "a state without a way on"
    assert not (grammar.ends_step & (grammar.next_state < 0)).any()
    assert (grammar.next_state[:, codec.alphabet.index("?")] < 0).all()
    assert set(grammar.next_state[grammar.ends_step].tolist()) == {grammar.start}
    # The longest step, by a slow oracle: how many symbols can be read before every path ended.
    reached, n_read = {grammar.start}, 0
    while reached:
        n_read += 1
        reached = {
            int(grammar.next_state[q, a])
            for q in reached
            for a in np.flatnonzero((grammar.next_state[q] >= 0) & ~grammar.ends_step[q])
        }
    assert grammar.max_symbols_per_step == n_read


@pytest.mark.parametrize("name", COMPACT)
def test_compact_terminator_is_forced(name: str) -> None:
    codec = CODECS[name]
    grammar = codec.grammar(2)
    digits = codec.config()["digits"]
    allowed = (grammar.next_state >= 0).sum(axis=1).tolist()
    assert allowed == [10] * (2 * digits) + ([1] if codec.config()["separator"] else [])
    assert grammar.max_symbols_per_step == len(allowed)


@pytest.mark.parametrize("name", list(CODECS))
@given(data=st.data())
@settings(max_examples=20)
def test_text_and_symbols_are_inverse(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    symbols = np.array(
        data.draw(st.lists(st.integers(0, len(codec.alphabet) - 1), max_size=30)), dtype=np.int64
    )
    assert np.array_equal(codec.symbols(codec.text(symbols)), symbols)
    assert len(set(codec.alphabet)) == len(codec.alphabet)
    assert all(len(symbol) == 1 for symbol in codec.alphabet)


@pytest.mark.parametrize("name", list(CODECS))
def test_config_builds_the_same_codec(name: str) -> None:
    codec = CODECS[name]
    again = make_codec(**json.loads(json.dumps(codec.config())))
    assert type(again) is type(codec)
    assert again.config() == codec.config()
    assert again.alphabet == codec.alphabet
    assert codec.name in PRESETS


def test_every_codec_of_digits_is_among_them() -> None:
    assert {codec.name for codec in CODECS.values()} == set(PRESETS)


@pytest.mark.parametrize("name", list(CODECS))
def test_state_survives_json(name: str) -> None:
    codec = CODECS[name]
    context, state = fitted(codec, np.array([[1.0, 3.0], [2.5, np.nan], [0.1, 1e-7]]))
    again = State.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again == state
    symbols = codec.encode(context, again)
    assert np.array_equal(symbols, codec.encode(context, state))


@pytest.mark.parametrize("name", [*COMPACT, *TEXT])
def test_a_series_encodes_as_its_parts(name: str) -> None:
    """Steps are written one by one: a forecast can be appended, a window cut out."""
    codec = CODECS[name]
    values = np.random.default_rng(5).lognormal(size=(30, 2))
    state = codec.fit(values[:20])
    whole = codec.encode(values, state)
    parts = [codec.encode(values[a:b], state) for a, b in pairwise([0, 7, 20, 21, 30])]
    assert np.array_equal(whole, np.concatenate(parts))
    for cut in range(1, 12):  # an unfinished step at the end is left out
        back = codec.decode(whole[:-cut], state)
        # exponentials of arrays of other lengths may take another path at their ends
        np.testing.assert_allclose(back, codec.decode(whole, state)[: len(back)], rtol=1e-14)
        assert len(back) < 30


def _widths(grammar: Grammar, most: int) -> set[int]:
    """Symbols of every legal time step of at most `most` symbols, walked one by one."""
    widths, paths = set(), {grammar.start}
    for length in range(1, most + 1):
        following = set()
        for state in paths:
            for symbol in np.flatnonzero(grammar.next_state[state] >= 0):
                if grammar.ends_step[state, symbol]:
                    widths.add(length)
                else:
                    following.add(int(grammar.next_state[state, symbol]))
        paths = following
    return widths


@pytest.mark.parametrize(
    ("name", "channels"), list(product(["compact", "llmtime", "fung"], [1, 2, 3]))
)
def test_the_shortest_time_step(name: str, channels: int) -> None:
    grammar = make_codec(name=name).grammar(channels)
    short = grammar.shortest()
    widths = _widths(grammar, grammar.max_symbols_per_step)
    assert short.max_symbols_per_step == min(widths)
    assert _widths(short, grammar.max_symbols_per_step) == {min(widths)}
