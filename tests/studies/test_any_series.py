"""A study on series that the shipped data never has: zeros, negatives, constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from loracast.backbone import build_embedded, embedded_config
from loracast.series import Panel, write_hdf5
from loracast.studies import Recipe, StudyResult, run_study

N_SERIES, N_STEPS = 14, 44
CONSTANT = (2, 9, 12)  # one to train on, one to choose by, one to test
LOGS = ("var5_log", "quadratic_growth", "ode_fit", "global_mlp")


def _study(folder: Path, shift: float, **changes: Any) -> StudyResult:
    """A tiny study of waves about `shift`, some series constant; at 0 half the values are below."""
    build_embedded(folder / "base", embedded_config(64, 1, 64), seed=3)
    rng = np.random.default_rng(0)
    turn = np.arange(N_STEPS)[:, None] / 5 + np.array([0.0, 1.0])
    values = [np.round(np.sin(turn + rng.uniform(0, 6)), 1) + shift for _ in range(N_SERIES)]
    for i in CONSTANT:
        values[i] = np.full((N_STEPS, 2), shift)
    panel = Panel(
        ids=tuple(range(N_SERIES)),
        values=tuple(values),
        times=tuple(np.arange(N_STEPS) for _ in values),
        channels=("a", "b"),
    )
    write_hdf5(panel, folder / "data.h5")
    fields: dict[str, Any] = {
        "budget": "1e12",
        "model": str(folder / "base"),
        "codec": {"name": "continuous"},
        "data": {"path": str(folder / "data.h5"), "train": 9, "validation": 2},
        "context": 30,
        "horizons": [2, 5],
        "samples": 3,
        "training": {"steps": 1, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32"},
        "adapter": {"rank": 2, "alpha": 4},
        "default_steps": 2,
        "grid": {"steps": 2, "learning_rate": [1e-2], "rank": [2]},
        "contexts": None,
        "max_final_steps": 2,
        "calibration_series": 2,
        "global_mlp_steps": 2,
    }
    return run_study(Recipe.model_validate(fields | changes), folder / "out")


def test_methods_that_cannot_take_zeros_are_left_out_with_their_reason(tmp_path: Path) -> None:
    result = _study(tmp_path, 0.0)
    for name in LOGS:
        row = result.test[name]
        assert row.note.startswith("does not apply:"), name
        assert "takes logarithms" in row.note, name
        assert all(s.mae is None for s in row.horizons.values())
    for name in ("adapted", "zero_shot", "random_start", "naive", "seasonal_naive"):
        assert all(s.mae is not None for s in result.test[name].horizons.values()), name
    missing = [line for line in result.verdict.splitlines() if line.startswith("Not compared")]
    assert len(missing) == 1
    assert missing[0].count("takes logarithms") == len(LOGS)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for name in LOGS:
        assert page.count(f"{name} takes logarithms") >= 2, name  # in the verdict and the table
    assert not (tmp_path / "out" / "adapter" / "global_mlp.safetensors").exists()


def test_constant_series_among_positive_ones_stop_nothing(tmp_path: Path) -> None:
    result = _study(tmp_path, 3.0)
    assert all(
        s.mae is not None and np.isfinite(s.mae)
        for row in result.test.values()
        for s in row.horizons.values()
    )
    assert "Not compared" not in result.verdict
    assert (tmp_path / "out" / "adapter" / "global_mlp.safetensors").exists()


def test_digits_take_constants_too(tmp_path: Path) -> None:
    codec = {"name": "compact"}
    result = _study(tmp_path, 3.0, codec=codec, baselines=["naive"], random_start=False)
    assert result.test["adapted"].horizons[5].mae is not None
