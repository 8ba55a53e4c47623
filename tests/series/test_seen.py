"""Training series are recognised in another file, in part, and longer; others are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from loracast.series import Panel, read_panel, seen_record, trained_until, write_panel


def panel_of(*values: np.ndarray) -> Panel:
    columns = [v if v.ndim == 2 else v[:, None] for v in values]
    return Panel(
        tuple(f"s{i}" for i in range(len(columns))),
        tuple(columns),
        tuple(np.arange(len(v)) for v in columns),
        tuple(f"y{c}" for c in range(columns[0].shape[1])),
    )


@pytest.fixture(scope="module")
def walks() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(9, 400, 2)).cumsum(axis=1)


def test_the_same_series_are_known_to_their_end_and_others_not(walks: np.ndarray) -> None:
    record = seen_record(panel_of(*walks[:3]), panel_of(*walks[3:6]))
    assert record["n_series"] == 6
    assert trained_until(panel_of(*walks), record).tolist() == [400] * 6 + [0] * 3
    again = json.loads(json.dumps(record))
    assert trained_until(panel_of(*walks[4:7]), again).tolist() == [400, 400, 0]


def test_parts_are_known_by_where_the_training_data_ended(walks: np.ndarray) -> None:
    """Oracle: step k of a part that begins at step b was trained on where b + k < 400."""
    record = seen_record(panel_of(walks[0]))
    for begin, end in ((0, 50), (100, 300), (250, 400), (37, 37 + 144)):
        assert trained_until(panel_of(walks[0][begin:end]), record).tolist() == [400 - begin]
    longer = np.concatenate([walks[0], walks[1][:80]])
    assert trained_until(panel_of(longer), record).tolist() == [400]
    before = np.concatenate([walks[1][:80], walks[0]])
    assert trained_until(panel_of(before), record).tolist() == [480]


def test_order_of_channels_names_and_precision_do_not_matter(
    walks: np.ndarray, tmp_path: Path
) -> None:
    record = seen_record(panel_of(walks[0]))
    assert trained_until(panel_of(walks[0][:, ::-1]), record).tolist() == [400]
    assert trained_until(panel_of(walks[0][:, 1]), record).tolist() == [400]
    single = walks[0].astype(np.float32).astype(np.float64)
    assert trained_until(panel_of(single), record).tolist() == [400]
    holed = walks[0].copy()
    holed[5:9, 0] = np.nan
    file = write_panel(panel_of(holed), tmp_path / "x.csv")
    assert trained_until(read_panel(file), seen_record(panel_of(holed))).tolist() == [400]


def test_series_that_are_alike_by_chance_are_not_taken_for_each_other() -> None:
    """Runs of zeros and short cycles of counts stand in many series."""
    rng = np.random.default_rng(1)
    sparse = [np.where(rng.random(200) < 0.03, rng.integers(1, 4, 200), 0.0) for _ in range(20)]
    record = seen_record(panel_of(*sparse[:10]))
    assert trained_until(panel_of(*sparse), record).tolist() == [200] * 10 + [0] * 10


@pytest.mark.parametrize("n_steps", [1, 2, 15, 16, 17])
def test_short_series_are_known_whole(n_steps: int) -> None:
    values = np.random.default_rng(2).normal(size=(2, n_steps))
    record = seen_record(panel_of(values[0]))
    assert trained_until(panel_of(*values), record).tolist() == [n_steps, 0]


def test_the_record_is_small(walks: np.ndarray) -> None:
    published = np.random.default_rng(3).normal(size=(800, 100, 2))
    assert len(json.dumps(seen_record(panel_of(*published)))) < 40_000


@pytest.mark.parametrize(
    "broken", [{}, {"digests": "!"}, {"digests": "", "window": 16}, {"digests": 3}]
)
def test_another_record_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="record of training series"):
        trained_until(panel_of(np.arange(20.0)), broken)


def test_a_record_of_another_window_is_refused(walks: np.ndarray) -> None:
    record = seen_record(panel_of(walks[0])) | {"window": 8}
    with pytest.raises(ValueError, match="another form"):
        trained_until(panel_of(walks[0]), record)
