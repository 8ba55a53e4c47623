"""Long frames in and out, for pandas and polars, and the times and names of forecast frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from loracast.errors import ConfigError, DataError
from loracast.series import Panel, backtest_frame, forecast_frame, future_times
from loracast.series._frames import panel_from_frame, panel_to_frame

KINDS = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
DAYS = pd.date_range("2024-02-27", periods=3, freq="D")


def columns(ids: str = "unique_id", times: str = "ds") -> dict[str, Any]:
    return {
        ids: ["b", "b", "b", "a", "a"],
        times: [*DAYS, *DAYS[:2]],
        "prey": [1.0, float("nan"), 1e300, -4.0, 0.1],
        "predator": [1e-300, 2.0, 3.0, 4.0, 5.0],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_comes_back_as_it_was(kind: str) -> None:
    frame = KINDS[kind](columns())
    panel = panel_from_frame(frame, target_cols=["prey", "predator"])
    assert panel.ids == ("b", "a")
    assert panel.channels == ("prey", "predator")
    back = panel_to_frame(panel)
    assert type(back) is KINDS[kind]
    _same(frame, back)


def _same(frame: Any, other: Any) -> None:
    assert list(frame.columns) == list(other.columns)
    for name in frame.columns:
        left, right = (np.asarray(f[name].to_list()) for f in (frame, other))
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("ids", "times", "named"),
    [
        ("item_id", "timestamp", {}),
        ("shop", "day", {"id_col": "shop", "time_col": "day"}),
        ("unique_id", "day", {"time_col": "day"}),
    ],
)
def test_renamed_columns_keep_their_names(
    kind: str, ids: str, times: str, named: dict[str, str]
) -> None:
    frame = KINDS[kind](columns(ids, times))
    panel = panel_from_frame(frame, target_cols=["predator"], **named)
    assert (panel.id_col, panel.time_col) == (ids, times)
    assert list(panel_to_frame(panel).columns) == [ids, times, "predator"]
    future = forecast_frame(panel, np.zeros((2, 1, 1)))
    assert type(future) is KINDS[kind]
    assert list(future.columns) == [ids, times, "loracast"]


def test_the_frame_given_is_not_changed() -> None:
    frame = pd.DataFrame(columns())
    before = frame.copy(deep=True)
    panel_from_frame(frame, target_cols=["prey"], sort=True)
    pd.testing.assert_frame_equal(frame, before)


def test_a_pandas_series_and_an_index_of_dates_are_one_series() -> None:
    panel = panel_from_frame(pd.Series([1.0, 2.0, 3.0], index=DAYS, name="sales"))
    assert (panel.ids, panel.channels, panel.time_col) == (("series",), ("sales",), "ds")
    np.testing.assert_array_equal(panel.times[0], DAYS.to_numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_integer_times_stay_integers_and_text_dates_become_dates(kind: str) -> None:
    counted = panel_from_frame(KINDS[kind]({"unique_id": [1, 1], "ds": [3, 5], "y": [1, None]}))
    assert counted.times[0].dtype == np.int64
    assert counted.n_missing == 1
    dated = panel_from_frame(KINDS[kind]({"ds": ["2024-01-31", "2024-02-29"], "y": [1, 2]}))
    assert dated.times[0].dtype.kind == "M"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"unique_id": [], "ds": [], "y": []}, "empty frame"),
        ({"unique_id": ["a", "a"], "ds": [0, 0], "y": [1.0, 2.0]}, "has ds 0 twice"),
        ({"unique_id": ["a", "a"], "ds": [1, 0], "y": [1.0, 2.0]}, "expected times in order"),
        ({"unique_id": ["a", "a"], "ds": [0, 1], "y": [1.0, float("inf")]}, "has inf in 'y'"),
        ({"unique_id": ["a", "a"], "ds": [0, 1], "y": ["1", "2"]}, "convert the column"),
        ({"unique_id": ["a", None], "ds": [0, 1], "y": [1.0, 2.0]}, "empty in row 2"),
    ],
)
def test_bad_frames_are_one_line(kind: str, table: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        panel_from_frame(KINDS[kind](table))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_times_in_utc_lose_their_zone(kind: str) -> None:
    wanted = np.array(["2024-01-01T00", "2024-01-01T01"], dtype="datetime64[ns]")
    hours = pd.date_range("2024-01-01", periods=2, freq="h", tz="UTC")
    for times in (
        ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"],
        ["2024-01-01 00:00:00.000+00:00", "2024-01-01 01:00:00.000+00:00"],
        hours.to_list(),
    ):
        panel = panel_from_frame(KINDS[kind]({"ds": times, "y": [1.0, 2.0]}))
        np.testing.assert_array_equal(panel.times[0], wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-01-01T00:00:00+02:00", "2024-01-01T01:00:00+02:00"], "has the time zone +02:00;"),
        (["2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"], "zones +01:00 and +02:00;"),
        (["2024-01-01T00:00:00Z", "2024-01-01T01:00:00"], "has the time zone Z in some rows only;"),
        (["2024-01-01T00:00:00Z", "2024-01-01T03:00:00+02:00"], "the time zones +02:00 and Z;"),
    ],
)
def test_other_zones_are_one_line(kind: str, times: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        panel_from_frame(KINDS[kind]({"ds": times, "y": [1.0, 2.0]}))
    assert message in str(caught.value) and "drop it" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_frame_is_said() -> None:
    for thing in (None, {"y": [1]}, np.ones(3)):
        with pytest.raises(DataError, match="expected a pandas or polars frame"):
            panel_from_frame(thing)
    with pytest.raises(ConfigError, match="expected 'pandas' or 'polars'"):
        panel_to_frame(_panel(1), "arrow")  # type: ignore[arg-type]


def _panel(n_channels: int) -> Panel:
    names = ("y",) if n_channels == 1 else ("prey", "predator")
    values = np.arange(2 * 4 * n_channels, dtype=float).reshape(2, 4, n_channels)
    return Panel((7, 8), tuple(values), (np.arange(4), np.arange(0, 8, 2)), names)


def test_forecast_frame_of_one_target() -> None:
    point = np.array([[[1.0], [2.0]], [[3.0], [4.0]]])
    levels = {80: (point - 1, point + 1), 97.5: (point - 2, point + 2)}
    frame = forecast_frame(_panel(1), point, levels)
    assert list(frame.columns) == [
        "unique_id", "ds", "loracast", "loracast-lo-80", "loracast-hi-80", "loracast-lo-97.5",
        "loracast-hi-97.5",
    ]  # fmt: skip
    assert frame["unique_id"].tolist() == [7, 7, 8, 8]
    assert frame["ds"].tolist() == [4, 5, 8, 10]
    assert frame["loracast"].tolist() == [1, 2, 3, 4]
    assert frame["loracast-lo-80"].tolist() == [0, 1, 2, 3]
    assert frame["loracast-hi-97.5"].tolist() == [3, 4, 5, 6]


def test_forecast_frame_of_several_targets() -> None:
    point = np.arange(8.0).reshape(2, 2, 2)
    panel = _panel(2)
    panel.meta["backend"] = "polars"
    frame = forecast_frame(panel, point, {80: (point - 1, point + 1)})
    assert frame.columns == [
        "unique_id", "ds", "prey", "prey-lo-80", "prey-hi-80", "predator", "predator-lo-80",
        "predator-hi-80",
    ]  # fmt: skip
    assert frame["prey"].to_list() == [0, 2, 4, 6]
    assert frame["predator-lo-80"].to_list() == [0, 2, 4, 6]


def test_backtest_frames_have_the_cutoff_and_the_truth() -> None:
    frame = backtest_frame(_panel(1), np.array([1, 2]), np.zeros((2, 2, 1)))
    assert list(frame.columns) == ["unique_id", "ds", "cutoff", "y", "loracast"]
    assert frame["ds"].tolist() == [1, 2, 4, 6]
    assert frame["cutoff"].tolist() == [0, 0, 2, 2]
    assert frame["y"].tolist() == [1, 2, 6, 7]
    several = backtest_frame(_panel(2), np.array([1, 1]), np.zeros((2, 1, 2)))
    assert list(several.columns) == [
        "unique_id", "ds", "cutoff", "prey", "predator", "prey-loracast", "predator-loracast",
    ]  # fmt: skip
    with pytest.raises(DataError, match="expected them inside"):
        backtest_frame(_panel(1), np.array([1, 3]), np.zeros((2, 2, 1)))
    with pytest.raises(DataError, match="expected \\(N=2, H, C=1\\)"):
        forecast_frame(_panel(1), np.zeros((2, 2, 2)))


@pytest.mark.parametrize(
    ("past", "following"),
    [
        (["2024-02-27", "2024-02-28"], ["2024-02-29", "2024-03-01", "2024-03-02"]),
        (["2023-11-01", "2023-12-01"], ["2024-01-01", "2024-02-01", "2024-03-01"]),
        (["2023-10-01", "2023-11-01", "2023-12-01"], ["2024-01-01", "2024-02-01", "2024-03-01"]),
        (["2023-11-30", "2023-12-31"], ["2024-01-31", "2024-02-29", "2024-03-31"]),
        (["2023-10-31", "2023-11-30", "2023-12-31"], ["2024-01-31", "2024-02-29", "2024-03-31"]),
        # a missing month in the middle
        (["2023-08-31", "2023-10-31", "2023-11-30", "2023-12-31"],
         ["2024-01-31", "2024-02-29", "2024-03-31"]),
        (["2023-10-15", "2023-11-15", "2023-12-15"], ["2024-01-15", "2024-02-15", "2024-03-15"]),
        (["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11",
          "2024-01-12"], ["2024-01-15", "2024-01-16", "2024-01-17"]),
        (["2021-01-01", "2022-01-01", "2023-01-01"], ["2024-01-01", "2025-01-01", "2026-01-01"]),
    ],
)  # fmt: skip
def test_dates_go_on_as_a_calendar_would(past: list[str], following: list[str]) -> None:
    found = future_times(np.array(past, dtype="datetime64[ns]"), 3)
    assert found.astype("datetime64[D]").astype(str).tolist() == following


def test_numbers_go_on_by_their_usual_step() -> None:
    found = future_times(np.array([0, 2, 4, 10, 12]), 3)
    assert found.dtype == np.int64
    assert found.tolist() == [14, 16, 18]
    np.testing.assert_allclose(future_times(np.array([0.0, 0.1, 0.2]), 2), [0.3, 0.4])
    hours = np.array(["2024-03-30T22", "2024-03-30T23"], dtype="datetime64[ns]")
    assert str(future_times(hours, 1)[0]).startswith("2024-03-31T00:00")


def test_times_that_cannot_be_continued() -> None:
    with pytest.raises(DataError, match="at least two"):
        future_times(np.array([1]), 2)
    with pytest.raises(DataError, match="expected at least 1"):
        future_times(np.array([1, 2]), 0)
    with pytest.raises(DataError, match="shorter horizon"):
        future_times(np.array(["2200-01-01", "2250-01-01"], dtype="datetime64[ns]"), 5)
