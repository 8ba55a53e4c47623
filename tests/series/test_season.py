"""Seasons of dates: pandas makes the dates, the calendar says the season."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loracast.series import season_of_times


@pytest.mark.parametrize(
    ("frequency", "season"),
    [
        ("QS", 4), ("QE", 4), ("MS", 12), ("ME", 12), ("BMS", 12), ("2MS", 6), ("6MS", 2),
        ("W-MON", 52), ("2W", 26), ("D", 7), ("B", 5), ("h", 24), ("30min", 48), ("15min", 96),
        ("6h", 4), ("min", 1440), ("s", 3600), ("10s", 360),
        ("YS", None), ("3D", None), ("7min", None),
    ],
)  # fmt: skip
def test_the_calendar_of_each_frequency(frequency: str, season: int | None) -> None:
    times = pd.date_range("2019-01-07", periods=60, freq=frequency).to_numpy()
    assert season_of_times(times) == season
    assert season_of_times(np.delete(times, [7, 20, 21])) == season  # rows are missing


def test_what_is_no_date_has_no_season() -> None:
    assert season_of_times(np.arange(40)) is None
    assert season_of_times(np.arange(40) / 12) is None
    assert season_of_times(pd.date_range("2019-01-01", periods=2).to_numpy()) is None


def test_a_few_days_in_a_row_are_a_week_not_a_working_week() -> None:
    assert season_of_times(pd.date_range("2024-01-01", periods=5).to_numpy()) == 7
