"""How many steps a season has, by the spacing of dates; the values are not looked at."""

from __future__ import annotations

import numpy as np

__all__ = ["season_of_times"]

DAY = 86_400.0  # seconds
# Days between dates, lowest and highest -> steps in a season. Calendar months and quarters differ
# in length, so these are ranges. The seasons are those of the M4 competition (Makridakis et al.
# 2020, table 1: monthly 12, quarterly 4, weekly 52, hourly 24) and, of daily data, the week, which
# is forecast::frequency's choice; M4 itself took 1.
_CALENDAR = (
    (180.0, 185.0, 2),
    (119.0, 124.0, 3),
    (88.0, 93.0, 4),
    (59.0, 62.0, 6),
    (28.0, 31.0, 12),
    (14.0, 14.0, 26),
    (7.0, 7.0, 52),
)
WORKING_WEEK, WEEK = 5, 7
TWO_WEEKS = 10  # working days that must be seen before weekends are held to be left out


def season_of_times(times: np.ndarray) -> int | None:
    """The usual season of dates that stand so far apart.

    Half-years 2, quarters 4, months 12, weeks 52, days 7 (5 where weekends are left out), and
    below a day the steps of one day (hours 24, quarters of an hour 96); below a minute the steps
    of one hour. The middle spacing decides, so that missing rows do no harm.

    Args:
        times: (T,) increasing integers, floats or datetime64.

    Returns:
        Steps in a season; None where times are no dates, stand a year or more apart, or have a
        spacing without a usual season.
    """
    if not np.issubdtype(times.dtype, np.datetime64) or len(times) < 3:
        return None
    steps = np.diff(times.astype("datetime64[ns]")).astype(np.int64) / 1e9
    seconds = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower of two middle ones
    days = seconds / DAY
    for low, high, season in _CALENDAR:
        if low <= days <= high:
            return season
    if days == 1.0:
        weekday = (times.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 0 is Monday
        weekends = bool((weekday >= WORKING_WEEK).any())
        return WEEK if weekends or len(times) < TWO_WEEKS else WORKING_WEEK
    span = 3600.0 if seconds < 60.0 else DAY
    if 0 < seconds < DAY and span % seconds == 0 and span > seconds:
        return int(span / seconds)
    return None
