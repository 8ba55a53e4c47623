"""Bad input ends in one clear CodecError, and extreme input in numbers, never in a warning."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from loracast.codec import State, make_codec
from loracast.codec._registry import PRESETS
from loracast.errors import CodecError

CONTEXT = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 4.0]])


def make(name: str) -> object:
    return make_codec(name, **({"global_scale": 1.0} if name == "mao" else {}))


@pytest.mark.parametrize(
    ("context", "match"),
    [
        (np.ones(3), r"shape \(3,\); expected \(T, C\)"),
        (np.ones((2, 0)), r"shape \(2, 0\)"),
        (np.ones((0, 1)), "no steps in channel 0"),
        (np.full((3, 1), np.nan), r"only missing values \(NaN\) in channel 0"),
        (np.array([[1.0], [np.inf]]), "infinite value at step 1, channel 0"),
        (np.array([["a"]]), "not numbers"),
    ],
)
@pytest.mark.parametrize("name", PRESETS)
def test_contexts_that_cannot_be_scaled(name: str, context: np.ndarray, match: str) -> None:
    with pytest.raises(CodecError, match=match) as error:
        make(name).fit(context)
    assert "\n" not in str(error.value)
    assert repr(name) in str(error.value)


def test_only_the_empty_channel_is_named() -> None:
    with pytest.raises(CodecError, match="channel 1"):
        make_codec("compact", digits=3, headroom=0.2).fit(np.array([[1.0, np.nan], [2.0, np.nan]]))


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "annotation"])
def test_values_that_do_not_fit_the_state(name: str) -> None:
    codec = make(name)
    state = codec.fit(CONTEXT)
    with pytest.raises(CodecError, match="got 1 channels; expected 2"):
        codec.encode(CONTEXT[:, :1], state)
    with pytest.raises(CodecError, match="infinite"):
        codec.encode(CONTEXT * np.inf, state)
    with pytest.raises(CodecError, match="state of codec 'other'"):
        codec.encode(CONTEXT, State("other", (1.0, 1.0), (0.0, 0.0)))
    with pytest.raises(CodecError, match="state of codec 'other'"):
        codec.decode(np.array([0]), State("other", (1.0, 1.0), (0.0, 0.0)))
    with pytest.raises(CodecError, match=r"got symbol ids -1\.\.-1"):
        codec.decode(np.array([-1]), state)
    with pytest.raises(CodecError, match="expected integer ids"):
        codec.decode(np.array([0.5]), state)
    with pytest.raises(CodecError, match=re.escape("['x']")):
        codec.symbols("1x")
    with pytest.raises(CodecError, match="got 0 channels"):
        codec.grammar(0)
    assert codec.decode(np.array([], dtype=int), state).shape == (0, 2)
    assert codec.encode(np.empty((0, 2)), state).shape == (0,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compact", "123456789;"),
        ("compact", "12345;"),
        ("compact", "12?456;"),
        ("compact", ";"),
        ("mao", "1.23;"),
        ("mao", "01.23,1.00;"),
        ("mao", "1.2,1.00;"),
        ("mao", "1234567.00,1.00;"),
        ("fung", "1.23,1.23;"),
        ("miller", "23,123;"),
        ("miller", "0123,123;"),
        ("llmtime", "1 2 ; 3 ,"),
        ("llmtime", " 0 1 ; 3 ,"),
        ("llmtime", " 1 , 3 ,"),
    ],
)
def test_illegal_symbols(name: str, text: str) -> None:
    codec = make(name)
    with pytest.raises(CodecError, match=rf"codec '{name}': got .* expected"):
        codec.decode(codec.symbols(text), codec.fit(CONTEXT))


@pytest.mark.parametrize("text", ["[1, 02]", "02 03", "[02,03]", "]02", "[02, ?3]", "02, 03]]"])
def test_illegal_annotation(text: str) -> None:
    codec = make_codec("annotation")
    with pytest.raises(CodecError, match="two-digit numbers"):
        codec.decode(codec.symbols(text), codec.fit(CONTEXT[:, :1]))


def test_annotation_is_univariate() -> None:
    with pytest.raises(CodecError, match="got 2 channels; expected 1"):
        make_codec("annotation").fit(CONTEXT)
    with pytest.raises(CodecError, match="got 2 channels; expected 1"):
        make_codec("annotation").grammar(2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": "compct"}, "got codec 'compct'; expected one of compact, mao"),
        ({"digit": 3}, r"got options \['digit'\]; expected some of"),
        ({"digits": 5}, "expected 2, 3 or 4"),
        ({"digits": "3"}, "expected 2, 3 or 4"),
        ({"separator": "|"}, "expected ';' or ''"),
        ({"transform": "sqrt"}, "expected one of"),
        ({"headroom": 0.5}, "expected 0.05 to 0.45"),
        ({"headroom": float("nan")}, "expected 0.05 to 0.45"),
        ({"headroom": "wide"}, "headroom"),
        ({"reach": 0.0}, "expected 1 to 1e6"),
        ({"name": "mao", "global_scale": 0.0}, "expected above 0"),
        ({"name": "mao", "percentile": 0.0}, "expected 0 to 100"),
        ({"name": "fung", "alpha": -1.0}, "expected a number above 0"),
        ({"name": "miller", "percentile": 101.0}, "expected 0 to 100"),
        ({"name": "miller", "decimals": 0}, "expected decimals 1 to 6"),
        ({"name": "llmtime", "alpha": 0.0}, r"expected alpha in \(0, 1\]"),
        ({"name": "llmtime", "precision": 9}, "expected precision 1 to 6"),
        ({"name": "annotation", "digits": 3}, "got options"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], match: str) -> None:
    with pytest.raises(CodecError, match=match):
        make_codec(**options)


def test_log_names_the_alternative() -> None:
    codec = make_codec("compact", digits=3, headroom=0.2, transform="log")
    with pytest.raises(CodecError, match=r"got 0 at step 1, channel 0; .*transform='asinh'"):
        codec.fit(np.array([[1.0], [0.0]]))
    state = codec.fit(CONTEXT)
    with pytest.raises(CodecError, match="got -1 at step 0"):
        codec.encode(np.array([[-1.0, 1.0]]), state)


def test_state_of_other_options_is_refused() -> None:
    state = make_codec("compact", digits=3, headroom=0.2, transform="log").fit(CONTEXT)
    with pytest.raises(CodecError, match="fitted with other options"):
        make_codec("compact", digits=3, headroom=0.2).encode(CONTEXT, state)
    with pytest.raises(CodecError, match="fitted with other options"):
        make_codec("compact", digits=2, transform="log").decode(np.array([0]), state)
    assert dict(state.extra)["transform"] == 1.0


def test_broken_state_files() -> None:
    for broken in ({}, {"codec": "mao", "scale": "x", "offset": []}, {"codec": "mao", "scale": 1}):
        with pytest.raises(CodecError, match="cannot be read"):
            State.from_dict(broken)
    with pytest.raises(CodecError, match="cannot be read"):
        State.from_dict({"codec": "mao", "scale": [1], "offset": [0], "extra": 3})


@pytest.mark.parametrize("name", ["mao", "fung", "miller"])
def test_signs_and_gaps_only_where_asked_for(name: str) -> None:
    codec = make(name)
    with pytest.raises(CodecError, match=r"missing value at step 0, channel 1; .*missing=True"):
        codec.fit(np.array([[1.0, np.nan], [1.0, 1.0]]))
    with pytest.raises(CodecError, match=r"got -3 at step 0, channel 1; .*signed=True"):
        codec.encode(np.array([[1.0, -3.0]]), codec.fit(CONTEXT))
    rich = make_codec(**(codec.config() | {"signed": True, "missing": True}))
    values = np.array([[1.0, np.nan], [-2.0, 1.0]])
    state = rich.fit(values)
    back = rich.decode(rich.encode(values, state), state)
    assert np.allclose(back, values, atol=0.01, equal_nan=True)


@pytest.mark.parametrize("name", ["mao", "fung", "miller"])
def test_minus_zero_is_never_written_nor_legal(name: str) -> None:
    """-0.00 and 0.00 would be two texts of one value."""
    codec = make_codec(**(make(name).config() | {"signed": True}))
    state = codec.fit(CONTEXT[:, :1])
    zero = codec.text(codec.encode(np.array([[-1e-9]]), state))
    assert set(zero) <= set("0.;")
    with pytest.raises(CodecError, match="expected numbers"):
        codec.decode(codec.symbols("-" + zero), state)
    least = codec.symbols("-" + zero[:-2] + "1;")
    assert np.array_equal(codec.encode(codec.decode(least, state), state), least)


def test_llmtime_without_signs_and_gaps() -> None:
    codec = make_codec("llmtime", signed=False, missing=False)
    state = codec.fit(CONTEXT)
    with pytest.raises(CodecError, match="signed=True"):
        codec.encode(np.array([[-100.0, 1.0]]), state)
    with pytest.raises(CodecError, match="missing=True"):
        codec.encode(np.array([[np.nan, 1.0]]), state)
    assert len(codec.alphabet) == 13


@pytest.mark.parametrize("name", ["mao", "fung", "miller", "llmtime"])
def test_values_too_large_for_their_scale(name: str) -> None:
    codec = make(name)
    state = codec.fit(CONTEXT)
    with pytest.raises(CodecError, match=r"use .*codec 'compact'"):
        codec.encode(np.array([[1e300, 1.0]]), state)
    _, high = codec.limits(state)
    values = np.array([[high[0], 1.0], [1000.0, 1.0]])  # far past the nominal 10: still written
    back = codec.decode(codec.encode(values, state), state)
    assert np.allclose(back, values, rtol=0.01)
    assert (high > 1e4 * CONTEXT.max(axis=0)).all()


def test_mao_needs_its_scale_and_takes_it_from_training_values() -> None:
    codec = make_codec("mao")
    with pytest.raises(CodecError, match="call calibrate"):
        codec.fit(CONTEXT)
    values = [np.arange(501.0)[:, None], np.arange(501.0, 1001.0)[:, None]]
    calibrated = codec.scaled_for(values)
    # The 99.7th percentile of 0..1000 is 997.
    assert calibrated.config()["global_scale"] == pytest.approx(10.0 / 997.0)
    state = calibrated.fit(values[0])
    symbols = calibrated.encode(np.array([[997.0]]), state)
    assert calibrated.text(symbols) == "10.00;"
    with pytest.raises(CodecError, match="expected a positive one"):
        codec.scaled_for([np.zeros((3, 1))])
    with pytest.raises(CodecError, match="expected a positive one"):
        codec.scaled_for([])
    compact = make_codec("compact", digits=3, headroom=0.2)
    assert compact.scaled_for(values) is compact


@pytest.mark.parametrize("transform", ["linear", "log", "asinh"])
@pytest.mark.parametrize("digits", [2, 3, 4])
@pytest.mark.parametrize("headroom", [0.05, 0.2, 0.45])
def test_compact_reaches_a_thousand_ranges_out(
    transform: str, digits: int, headroom: float
) -> None:
    codec = make_codec("compact", transform=transform, digits=digits, headroom=headroom)
    low, high = codec.limits(codec.fit(CONTEXT))
    span = CONTEXT.max(axis=0) - CONTEXT.min(axis=0)
    assert (high >= CONTEXT.max(axis=0) + 1000.0 * span * (1 - 1e-9)).all()
    if transform == "log":
        assert (low <= CONTEXT.min(axis=0) / 1000.0).all()
        assert (low > 0.0).all()
    else:
        assert (low <= CONTEXT.min(axis=0) - 1000.0 * span * (1 - 1e-9)).all()


def test_compact_tail_is_smooth_at_the_join() -> None:
    """Each step of the tail is one constant factor wider than the last, and the first is not."""
    codec = make_codec("compact", digits=3, headroom=0.2)
    state = codec.fit(np.array([[0.0], [600.0]]))  # one code is 1
    symbols = codec.symbols("".join(f"{code:03d};" for code in range(1000)))
    steps = np.diff(codec.decode(symbols, state)[:, 0])
    assert np.allclose(steps[200:800], 1.0)
    growth = steps[801:] / steps[800:-1]
    assert np.allclose(growth, growth[0])
    assert np.allclose(steps[:199] / steps[1:200], growth[0])
    assert 1.0 < growth[0] < 1.06
    assert 1.0 < steps[800] < 1.03


@pytest.mark.parametrize("transform", ["linear", "log", "asinh"])
@pytest.mark.parametrize("context", [[1.0, 3.0, 20.0], [1e6, np.nextafter(1e6, 2e6), 1e6]])
def test_every_code_is_a_number_of_its_own(transform: str, context: list[float]) -> None:
    """All 1000 codes, tails included, and also where the context is as good as constant."""
    codec = make_codec("compact", digits=3, headroom=0.2, transform=transform)
    state = codec.fit(np.array(context)[:, None])
    symbols = codec.symbols("".join(f"{code:03d};" for code in range(1000)))
    values = codec.decode(symbols, state)
    assert (np.diff(values[:, 0]) > 0.0).all()
    assert np.array_equal(codec.encode(values, state), symbols)


@pytest.mark.parametrize(
    ("transform", "value"),
    [
        (transform, value)
        for transform in ("linear", "asinh", "log")
        for value in (1e300, 1e-300, 1.7e308, -1e300, 0.0, 42.0)
        if transform != "log" or value > 0.0
    ],
)
def test_compact_constant_context(transform: str, value: float) -> None:
    codec = make_codec("compact", digits=3, headroom=0.2, transform=transform)
    context = np.full((4, 1), value)
    state = codec.fit(context)
    assert np.isfinite(state.scale).all()
    assert state.scale[0] > 0.0
    encoded = codec.encode(context, state)
    assert codec.text(encoded) == "500;" * 4
    assert np.allclose(codec.decode(encoded, state), context, rtol=1e-12)
    if transform == "linear":  # as if the range were |value|, over 600 codes
        assert state.scale[0] == pytest.approx((abs(value) or 1.0) / 600.0)


def test_compact_missing_values_are_repeated_marks() -> None:
    codec = make_codec("compact", digits=3, headroom=0.2)
    context = np.array([[0.0, 1.0], [np.nan, 2.0], [6.0, np.nan]])
    state = codec.fit(context)
    assert codec.text(codec.encode(context, state)) == "200200;???800;800???;"


def test_compact_is_fast_enough_to_encode_while_training() -> None:
    codec = make_codec("compact", digits=3, headroom=0.2)
    values = np.random.default_rng(0).lognormal(size=(100, 2))
    state = codec.fit(values)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        codec.encode(values, state)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1e-3
