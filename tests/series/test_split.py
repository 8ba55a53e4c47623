"""Splits, windows and origins: no series twice, no step lost, against slow counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.errors import DataError
from loracast.series import Panel, rolling_origins, sliding_windows, split_panel


def panel_of(lengths: list[int]) -> Panel:
    return Panel(
        ids=tuple(range(len(lengths))),
        values=tuple(np.zeros((n, 1)) for n in lengths),
        times=tuple(np.arange(n) for n in lengths),
    )


def slow_windows(lengths: list[int], length: int, stride: int) -> list[tuple[int, int]]:
    """Step by step: go on by the stride, and step back to fit when the end is passed."""
    found = []
    for series, n_steps in enumerate(lengths):
        start = 0
        while n_steps:
            fits = start + length <= n_steps
            begin = start if fits else max(n_steps - length, 0)
            found.append((series, begin))
            if begin + length >= n_steps:
                break
            start += stride
    return found


@settings(max_examples=60)
@given(st.data())
def test_windows_cover_every_step_and_agree_with_a_slow_loop(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 30), max_size=4))
    length = data.draw(st.integers(1, 12))
    stride = data.draw(st.integers(1, length))
    windows = sliding_windows(panel_of(lengths), length, stride)
    assert windows == slow_windows(lengths, length, stride)
    seen = [np.zeros(n, dtype=int) for n in lengths]
    for series, start in windows:
        assert start + length <= lengths[series] or start == 0
        seen[series][start : start + length] += 1
    assert all((count > 0).all() for count in seen)
    assert len(set(windows)) == len(windows)


def test_a_window_list_by_hand() -> None:
    found = sliding_windows(panel_of([10, 3, 0, 4]), 4, 3)
    assert found == [(0, 0), (0, 3), (0, 6), (1, 0), (3, 0)]
    assert sliding_windows(panel_of([6]), 4, 4) == [(0, 0), (0, 2)]


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (4, 0), (4, 5), (-1, -1)])
def test_windows_that_would_lose_steps_are_refused(length: int, stride: int) -> None:
    with pytest.raises(DataError, match="so that no step is lost"):
        sliding_windows(panel_of([10]), length, stride)


def test_a_split_keeps_the_order() -> None:
    parts = split_panel(panel_of([2] * 10), 5, 2)
    assert [p.ids for p in parts] == [(0, 1, 2, 3, 4), (5, 6), (7, 8, 9)]


@given(st.integers(0, 12), st.integers(0, 12))
def test_a_split_shares_no_series(n_train: int, n_val: int) -> None:
    parts = split_panel(panel_of([1] * 24), n_train, n_val)
    assert [len(p) for p in parts] == [n_train, n_val, 24 - n_train - n_val]
    assert sorted(i for p in parts for i in p.ids) == list(range(24))  # type: ignore[type-var]


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(DataError, match="need 11"):
        split_panel(panel_of([1] * 10), 8, 3)
    with pytest.raises(DataError, match="counts >= 0"):
        split_panel(panel_of([1] * 10), 8, -2)


def slow_origins(n_steps: int, horizon: int, n_windows: int, step: int) -> list[int]:
    """From the end back: the last forecast ends with the series, each earlier one `step` before."""
    found = []
    end = n_steps
    for _ in range(n_windows):
        found.insert(0, end - horizon)
        end -= step
    return found


@settings(max_examples=60)
@given(st.data())
def test_origins_count_from_the_end_of_each_series(data: st.DataObject) -> None:
    lengths = np.array(data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=4)))
    horizon, step = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    n_windows = data.draw(st.integers(1, 4))
    if n_windows > 1 and lengths.max() <= horizon + step * (n_windows - 1):
        with pytest.raises(DataError, match=f"the longest series has {lengths.max()} steps"):
            rolling_origins(lengths, horizon, n_windows, step)
        return
    found = rolling_origins(lengths, horizon, n_windows, step)
    expected = [slow_origins(int(n), horizon, n_windows, step) for n in lengths]
    assert found.T.tolist() == expected


def test_origins_stand_a_horizon_apart_unless_told() -> None:
    assert rolling_origins(np.array([100, 61]), 30, 2).tolist() == [[40, 1], [70, 31]]
    with pytest.raises(DataError, match="which hold 3"):
        rolling_origins(np.array([100]), 30, 10**12)
    for wrong in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(DataError, match="expected each at least 1"):
            rolling_origins(np.array([9]), *wrong)
