"""How a series enters as numbers: what stands at each position, and what is told of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.annotation import describe_chunk, measure, region_of
from loracast.annotation._shown import POSITIONS, continuous_form, measured_form

REGIONS = ("beginning", "middle", "end")


@pytest.mark.parametrize("length", [16, 127, 128, 129, 700, 1024])
def test_positions_values_and_roughness(length: int) -> None:
    row = describe_chunk(4, 0, 1, lengths=(length, length), families=["line"])[0]
    values = row.values
    z, statics = measured_form(values)
    n = min(length, POSITIONS)
    assert z.shape == (n, 8) and statics.shape == (8, 4)
    kept = [j * length // n for j in range(n)]
    plain, fixed = continuous_form(values[kept])
    assert np.array_equal(z[:, :2], plain, equal_nan=True) and np.array_equal(statics[:2], fixed)
    rough = measure(values).roughness
    for j, (a, b) in enumerate(zip(kept, [*kept[1:], length], strict=True)):
        assert z[j, 2] == pytest.approx(np.log10(max(rough[a:b]) + 3e-4) + 2, abs=1e-5)


def test_what_is_told_of_the_whole_series_stands_at_every_position() -> None:
    for row in describe_chunk(5, 0, 12, lengths=(40, 300)):
        z, statics = measured_form(row.values)
        assert (z[:, 3:] == 0).all() and (statics[2] == 0).all()
        told = statics[3:].ravel()
        found = measure(row.values)
        T = len(row.values)
        sides = [6 * (REGIONS.index(region_of(k, T)) - 1) for k in (found.highest, found.lowest)]
        wanted = [*sides, np.log2(T / 128) / 1.5]
        wanted += [12.5 * found.net_change, 12.5 * found.ends_change]
        for name, estimate in found.noise.items():
            low, high = 0.02, 0.12 if name == "cubic" else 0.06
            shown = max(estimate, 1e-5)
            if name in ("seasonal_ar", "cubic"):
                # (x^4 - 1) / (x^4 + 1) = tanh(2 log x): 0 at a bound, once for each of the two.
                for x in (shown / low, shown / high):
                    wanted.append(2.5 * (x**4 - 1) / (x**4 + 1))
            else:
                # -2.5 at the lower bound, 2.5 at the upper one, in a straight line of logarithms.
                wanted.append(5 * np.log(shown / low) / np.log(high / low) - 2.5)
        assert told == pytest.approx(np.clip(wanted, -10, 10), abs=1e-4)


def test_a_long_series_whose_shown_points_are_all_missing_is_still_shown() -> None:
    values = np.full(2 * POSITIONS, np.nan)
    values[[31, 77]] = 5.0, -5.0  # odd positions; the even ones are shown
    z, statics = measured_form(values)
    assert np.isfinite(z[:, 0]).sum() == 2 and np.isfinite(statics).all()
    assert z[15, 0] > 0 > z[38, 0]


def test_extremes_stand_in_where_all_shown_points_are_equal() -> None:
    values = np.zeros(256)  # of which the even ones are shown
    values[[31, 77]] = 5.0, -5.0
    z, _ = measured_form(values)
    assert len(z) == 128
    assert z[:, 0].argmax() == 15 and z[:, 0].argmin() == 38
    assert z[15, 0] > z[0, 0] > z[38, 0]
