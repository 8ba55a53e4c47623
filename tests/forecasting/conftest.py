"""A tiny random base and small frames; nothing here depends on what a model has learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def waves(n_series: int, n_steps: int = 40) -> pd.DataFrame:
    """Long frame of sine waves with their own periods and levels."""
    t = np.arange(n_steps)
    return pd.concat(
        [
            pd.DataFrame({"unique_id": f"s{i}", "ds": t, "y": i + np.sin(t / (2 + 0.3 * i))})
            for i in range(n_series)
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="session")
def few() -> pd.DataFrame:
    """Three series of 40 steps."""
    return waves(3)


@pytest.fixture(scope="session")
def many() -> pd.DataFrame:
    """Twelve series of 40 steps."""
    return waves(12)


@pytest.fixture(scope="session")
def positive_panel():
    """Four series of two positive channels, 48 steps."""
    from loracast.series import Panel

    t = np.arange(48)
    values = tuple(
        np.stack([2 + np.sin(t / (3 + i)), 3 + np.cos(t / (3 + i))], axis=1) for i in range(4)
    )
    return Panel(("a", "b", "c", "d"), values, (t,) * 4, ("prey", "predator"))


@pytest.fixture(scope="session")
def fitted(base: str, many: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory):
    """A forecaster fitted on `many` for a few steps, and the folder of its fit."""
    from loracast import Forecaster

    out = tmp_path_factory.mktemp("fit") / "out"
    forecaster = Forecaster.from_pretrained(base, seed=3, n_samples=9)
    forecaster.fit(many, budget=2e10, max_steps=4, out=out, training={"batch_size": 2})
    return forecaster, Path(out)
