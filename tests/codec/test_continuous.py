"""Numbers as numbers: nothing is lost, nothing is cut, and the state says how it was scaled."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from loracast.codec import (
    VALUE_CHANNELS,
    VALUE_STATICS,
    ContinuousCodec,
    State,
    Statics,
    make_codec,
)
from loracast.errors import CodecError

_values = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 40), st.integers(1, VALUE_CHANNELS)),
    elements=st.floats(-1e6, 1e6, allow_subnormal=False),
)


@given(_values, st.sampled_from(["auto", "linear", "asinh"]))
@settings(max_examples=150, deadline=None)
def test_values_come_back_to_float32_of_their_spread(values: np.ndarray, transform: str) -> None:
    codec = ContinuousCodec(transform)
    state = codec.fit(values)
    shown = codec.forward(values, state)
    assert shown.dtype == np.float32
    back = codec.inverse(shown, state)
    # z is float32 with |z| <= sqrt(T); in transformed units a value is off by z eps scale.
    size = np.maximum(np.abs(values).max(axis=0), 1e-3)
    spread = np.maximum(np.ptp(values, axis=0), size)
    assert (np.abs(back - values) <= 3e-5 * spread + 1e-9).all()


def test_a_positive_series_of_wide_range_is_shown_in_logs_and_stays_positive() -> None:
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0, 1, (50, 2)))
    codec = make_codec("continuous")
    assert isinstance(codec, ContinuousCodec)
    state = codec.fit(values)
    z = codec.forward(values, state)
    # oracle: logs, standardised by numpy
    logs = np.log(values)
    expected = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    np.testing.assert_allclose(z, expected, atol=1e-5)
    far = codec.inverse(np.array([[-50.0, 80.0], [-1e9, 1e9]]), state)
    assert np.isfinite(far).all()
    assert (far > 0).all()
    # no ceiling: 80 standard deviations up is far beyond anything that was seen
    assert far[0, 1] > 1e10 * values[:, 1].max()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(100, 101, 30), "linear"),
        (np.exp(np.linspace(0, 5, 30)), "log"),
        (np.concatenate([np.sin(np.arange(30)), [1e4]]), "asinh"),
        (np.sin(np.arange(30)), "linear"),
        (np.concatenate([[0.0], np.arange(1, 30)]), "linear"),
    ],
)
def test_the_transform_suits_the_series(values: np.ndarray, expected: str) -> None:
    codec = ContinuousCodec()
    state = codec.fit(values[:, None])
    names = ("linear", "log", "asinh")
    assert names[int(dict(state.extra)["transform"])] == expected


def test_statics_are_what_a_slow_loop_finds() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(5, 2, (30, 2)).cumsum(axis=0)
    values[7, 0] = np.nan
    codec = ContinuousCodec("linear")
    state = codec.fit(values)
    statics = codec.statics(state).array()
    assert statics.shape == (2, VALUE_STATICS)
    for c in range(2):
        seen = [v for v in values[:, c] if not np.isnan(v)]
        mean = sum(seen) / len(seen)
        deviation = (sum((v - mean) ** 2 for v in seen) / len(seen)) ** 0.5
        z = [(v - mean) / deviation for v in values[:, c]]
        steps = [b - a for a, b in itertools.pairwise(z)]
        known = [s for s in steps if not np.isnan(s)]
        step = (sum(s * s for s in known) / len(known)) ** 0.5
        bends = [b - a for a, b in itertools.pairwise(steps)]
        known = [s for s in bends if not np.isnan(s)]
        jerk = (sum(s * s for s in known) / len(known)) ** 0.5 / step
        np.testing.assert_allclose(statics[c], [0, 0, np.log(step), np.log(jerk)], atol=1e-5)


def test_the_statics_of_logs_are_told_by_name_and_in_order() -> None:
    values = np.exp(np.random.default_rng(4).normal(0, 2, (40, 3)).cumsum(axis=0))
    codec = ContinuousCodec("log")
    told = codec.statics(codec.fit(values))
    logs = np.log(values)
    z = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    step = np.sqrt((np.diff(z, axis=0) ** 2).mean(axis=0))
    jerk = np.sqrt((np.diff(z, n=2, axis=0) ** 2).mean(axis=0)) / step
    np.testing.assert_allclose(told.is_log, 1.0)
    np.testing.assert_allclose(told.log_scale, np.log(logs.std(axis=0)), rtol=1e-9)
    np.testing.assert_allclose(told.log_step, np.log(step), rtol=1e-9)
    np.testing.assert_allclose(told.log_jerk, np.log(jerk), rtol=1e-9)
    columns = np.column_stack([np.ones(3), np.log(logs.std(axis=0)), np.log(step), np.log(jerk)])
    np.testing.assert_allclose(told.array(), columns, rtol=1e-6)
    for name, read in Statics.of(told.array())._asdict().items():
        np.testing.assert_array_equal(read, getattr(told, name).astype(np.float32))


def test_the_state_survives_json_and_belongs_to_its_codec() -> None:
    values = np.exp(np.random.default_rng(2).normal(size=(20, 3)))
    codec = ContinuousCodec()
    state = codec.fit(values)
    again = State.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again == state
    assert make_codec(**codec.config()).config() == codec.config()  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="compact"):
        make_codec("compact").encode(values, state)


@pytest.mark.parametrize("value", [0.0, 5.0, -3e-300, 1e300])
def test_a_constant_channel_has_a_scale(value: float) -> None:
    codec = ContinuousCodec("linear")
    values = np.full((10, 1), value)
    state = codec.fit(values)
    np.testing.assert_array_equal(codec.forward(values, state), 0.0)
    back = codec.inverse(np.array([[0.0], [1.0]]), state)
    assert np.isfinite(back).all()
    np.testing.assert_allclose(back[0, 0], value, rtol=1e-12)


def test_what_cannot_be_shown_is_said() -> None:
    ramp = np.arange(1.0, 9.0)[:, None]
    with pytest.raises(CodecError, match="9 channels; expected at most 8"):
        ContinuousCodec().fit(np.tile(ramp, (1, 9)))
    with pytest.raises(CodecError, match="above 0"):
        ContinuousCodec("log").fit(ramp - 1)
    logs = ContinuousCodec("log")
    with pytest.raises(CodecError, match=r"-2 at step 1, channel 0"):
        logs.forward(np.array([[1.0], [-2.0]]), logs.fit(ramp))
    with pytest.raises(CodecError, match="transform"):
        ContinuousCodec("sqrt")


def test_under_auto_a_later_value_without_a_log_is_shown_as_missing() -> None:
    context = np.exp(np.linspace(0, 5, 30))[:, None]
    codec = ContinuousCodec()
    shown = codec.forward(np.array([[2.0], [-1.0], [3.0]]), codec.fit(context))
    assert np.isnan(shown[:, 0]).tolist() == [False, True, False]
