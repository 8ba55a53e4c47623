"""Forecasts through the public class: shapes, kinds, repeatability, and hard series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from loracast import Forecaster
from loracast.errors import AdapterError, BudgetExceeded, ConfigError, DataError, ModelError


@pytest.fixture(scope="module")
def zero_shot(base: str) -> Forecaster:
    return Forecaster.from_pretrained(base, n_samples=9)


def series(values: list[float], name: str = "x") -> pd.DataFrame:
    return pd.DataFrame({"unique_id": name, "ds": np.arange(len(values)), "y": values})


def test_point_and_interval_are_quantiles_of_the_samples(
    zero_shot: Forecaster, few: pd.DataFrame
) -> None:
    """Oracle: a slow loop over the samples of the same call."""
    frame = zero_shot.predict(4, level=[80], frame=few, quantiles=[0.25])
    samples = zero_shot.sample(4, few)
    assert samples.shape == (3, 9, 4, 1)
    for row, (n, h) in zip(frame.itertuples(index=False), np.ndindex(3, 4), strict=True):
        drawn = sorted(samples[n, :, h, 0])
        assert row.unique_id == f"s{n}"
        assert row.ds == 40 + h
        assert row.loracast == drawn[4]
        low, high, quarter = row[3:]
        # S = 9: a tenth of the truths lie below the first, a quarter below 2.5 of them.
        assert low == pytest.approx(drawn[0])
        assert high == pytest.approx(drawn[8])
        assert quarter == pytest.approx(0.5 * (drawn[1] + drawn[2]))
    assert list(frame.columns) == [
        "unique_id", "ds", "loracast", "loracast-lo-80", "loracast-hi-80", "loracast-q-25",
    ]  # fmt: skip


def test_polars_in_polars_out_with_the_same_numbers(
    zero_shot: Forecaster, few: pd.DataFrame
) -> None:
    found = zero_shot.predict(3, frame=pl.from_pandas(few))
    assert isinstance(found, pl.DataFrame)
    pd.testing.assert_frame_equal(found.to_pandas(), zero_shot.predict(3, frame=few))


def test_several_targets_have_their_own_columns(zero_shot: Forecaster, positive_panel) -> None:
    frame = zero_shot.predict(2, level=[80, 95], frame=positive_panel, n_samples=39)
    assert list(frame.columns[2:7]) == [
        "prey", "prey-lo-80", "prey-hi-80", "prey-lo-95", "prey-hi-95",
    ]  # fmt: skip
    assert len(frame) == 4 * 2


def test_same_seed_same_answer_whatever_the_company(base: str, few: pd.DataFrame) -> None:
    first = Forecaster.from_pretrained(base, seed=1, n_samples=9).predict(3, frame=few)
    again = Forecaster.from_pretrained(base, seed=1, n_samples=9)
    pd.testing.assert_frame_equal(first, again.predict(3, frame=few))
    shuffled = pd.concat([few[few.unique_id == name] for name in ("s2", "s0")])
    alone = again.predict(3, frame=shuffled)
    for name in ("s0", "s2"):
        np.testing.assert_allclose(
            alone.loc[alone.unique_id == name, "loracast"],
            first.loc[first.unique_id == name, "loracast"],
            rtol=1e-9,
        )
    other = Forecaster.from_pretrained(base, seed=2, n_samples=9).predict(3, frame=few)
    assert not np.allclose(other.loracast, first.loracast)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([5.0] * 12, id="constant"),
        pytest.param([0.0] * 12, id="zero"),
        pytest.param([1e300, 2e300, 1.5e300, 1.7e308, 1e299], id="1e300"),
        pytest.param([1e-300, 3e-300, 2e-300, 5e-324], id="1e-300"),
        pytest.param([-1.7e308, 1.7e308, -1.7e308, 1.7e308], id="both ends of float64"),
        pytest.param([-3.0, -2.0, -5.0, -1.0, 4.0], id="negative"),
        pytest.param([1.0, np.nan, 3.0, np.nan, np.nan, 2.0], id="holes"),
        pytest.param([np.nan, np.nan, 3.0], id="one value"),
        pytest.param([1.0, 2.0], id="two points"),
    ],
)
def test_legal_values_give_finite_forecasts(zero_shot: Forecaster, values: list[float]) -> None:
    frame = zero_shot.predict(3, level=[50, 80], frame=series(values))
    numbers = frame.drop(columns=["unique_id", "ds"]).to_numpy()
    assert np.isfinite(numbers).all()


def test_ragged_series_are_forecast_from_their_own_ends(zero_shot: Forecaster) -> None:
    frame = pd.concat([series(list(range(n)), f"n{n}") for n in (3, 30, 11)])
    found = zero_shot.predict(2, frame=frame)
    assert found.ds.tolist() == [3, 4, 30, 31, 11, 12]


def test_only_the_last_steps_of_a_long_series_are_shown(zero_shot: Forecaster) -> None:
    long = series(list(np.sin(np.arange(400) / 5)))
    short = long.tail(20).reset_index(drop=True)
    a = zero_shot.predict(3, frame=long, context=20)
    pd.testing.assert_frame_equal(a, zero_shot.predict(3, frame=short))
    assert not np.allclose(a.loracast, zero_shot.predict(3, frame=long).loracast)


def test_one_point_is_refused_by_name(zero_shot: Forecaster) -> None:
    frame = pd.concat([series([1.0, 2.0], "fine"), series([1.0], "short")])
    with pytest.raises(DataError, match="series 'short' has 1 step; a forecast needs at least 2"):
        zero_shot.predict(2, frame=frame, strict=True)


def test_a_series_of_holes_is_refused_by_name(zero_shot: Forecaster) -> None:
    frame = series([np.nan, np.nan, np.nan], "hollow")
    with pytest.raises(DataError, match="series 'hollow' has no known value in 'y'"):
        zero_shot.predict(2, frame=frame)
    late = series([1.0] * 5 + [np.nan] * 300, "late")
    with pytest.raises(DataError, match="series 'late' has no known value in 'y' in its last"):
        zero_shot.predict(2, frame=late)


def test_impossible_requests_say_so(zero_shot: Forecaster, few: pd.DataFrame, base: str) -> None:
    with pytest.raises(DataError, match="got horizon 0"):
        zero_shot.predict(0, frame=few)
    with pytest.raises(ConfigError, match="level 120"):
        zero_shot.predict(1, level=[120], frame=few)
    with pytest.raises(ConfigError, match="0 samples"):
        zero_shot.predict(1, frame=few, n_samples=0)
    with pytest.raises(ConfigError, match="context of 1"):
        zero_shot.predict(1, frame=few, context=1)
    with pytest.raises(DataError, match="pass frame"):
        zero_shot.predict(1)
    with pytest.raises(ModelError, match="call fit first"):
        zero_shot.save("nowhere")
    with pytest.raises(BudgetExceeded):
        zero_shot.predict(1, frame=few, budget=10)
    with pytest.raises(ConfigError, match="seed -1"):
        Forecaster.from_pretrained(base, seed=-1)
    with pytest.raises(ConfigError, match="0 samples"):
        Forecaster.from_pretrained(base, n_samples=0)


def test_a_forecast_tells_what_it_cost(zero_shot: Forecaster, few: pd.DataFrame) -> None:
    zero_shot.predict(2, frame=few)
    report = zero_shot.forecast_report
    assert report is not None
    assert (report.n_series, report.horizon, report.n_samples) == (3, 2, 9)
    engine = zero_shot.engine
    contexts = [few[few.unique_id == f"s{i}"][["y"]].to_numpy() for i in range(3)]
    assert report.flops == pytest.approx(engine.forecast_flops(contexts, 2, 9), abs=1)
    assert report.flops > 0


def test_cross_validation_is_prediction_from_each_cutoff(
    zero_shot: Forecaster, few: pd.DataFrame
) -> None:
    """Oracle: cut the frame by hand and predict."""
    frame = zero_shot.cross_validation(3, n_windows=2, step_size=4, frame=few)
    assert list(frame.columns) == [
        "unique_id", "ds", "cutoff", "y", "loracast", "loracast-lo-80", "loracast-hi-80",
    ]  # fmt: skip
    assert len(frame) == 3 * 2 * 3
    for cutoff in (32, 36):
        expected = zero_shot.predict(3, frame=few[few.ds <= cutoff])
        found = frame[frame.cutoff == cutoff].reset_index(drop=True)
        pd.testing.assert_frame_equal(found.drop(columns=["cutoff", "y"]), expected)
        truth = few[(few.ds > cutoff) & (few.ds <= cutoff + 3)]
        np.testing.assert_array_equal(found.y, truth.y)
    with pytest.raises(DataError, match="the longest series has 40 steps, which hold 2"):
        zero_shot.cross_validation(20, n_windows=3, step_size=10, frame=few)
    with pytest.raises(DataError, match="at least 1"):
        zero_shot.cross_validation(2, step_size=0, frame=few)


def test_a_saved_forecaster_comes_back_the_same(
    fitted: tuple[Forecaster, Path], many: pd.DataFrame, tmp_path: Path, base: str
) -> None:
    forecaster, out = fitted
    expected = forecaster.predict(3)
    folder = forecaster.save(tmp_path / "deep" / "adapter")
    for place in (folder, out, out / "adapter"):
        loaded = Forecaster.load(place)
        assert (loaded.seed, loaded.n_samples) == (3, 9)
        pd.testing.assert_frame_equal(loaded.predict(3, frame=many), expected)
    bare = Forecaster.from_pretrained(base, seed=3, n_samples=9).predict(3, frame=many)
    assert not np.allclose(bare.loracast, expected.loracast)
    assert loaded.save(out / "adapter") == out / "adapter"  # where it is already
    with pytest.raises(DataError, match="pass frame"):
        loaded.predict(3)


def test_folders_without_an_adapter_are_refused(
    fitted: tuple[Forecaster, Path], tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match="no such folder"):
        Forecaster.load(tmp_path / "missing")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(AdapterError, match="holds no adapter"):
        Forecaster.load(tmp_path / "letters")
    from loracast.errors import StorageError

    with pytest.raises(StorageError, match="refusing to replace"):
        fitted[0].save(tmp_path / "letters")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        fitted[0].save(tmp_path / "file" / "adapter")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "letters"]


def test_a_plot_shows_every_channel(zero_shot: Forecaster, positive_panel) -> None:
    figure = zero_shot.plot("c", h=3, frame=positive_panel, n_samples=9, history=10)
    assert [axis.get_ylabel() for axis in figure.axes] == ["prey", "predator"]
    past, ahead = figure.axes[0].lines
    assert len(past.get_xdata()) == 10
    np.testing.assert_array_equal(ahead.get_xdata(), [48, 49, 50])
    with pytest.raises(DataError, match="series_id 'z'"):
        zero_shot.plot("z", frame=positive_panel)


def test_a_codec_with_a_global_scale_takes_it_from_the_data(base: str) -> None:
    frame = series(list(20 + np.sin(np.arange(30.0))))
    forecaster = Forecaster.from_pretrained(base, "mao", n_samples=9)
    assert np.isfinite(forecaster.predict(2, frame=frame).loracast).all()
