"""Small frames and described series for both products."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def few() -> pd.DataFrame:
    """Three sine waves of 40 steps, each with its own period and level."""
    t = np.arange(40)
    return pd.concat(
        [
            pd.DataFrame({"unique_id": f"s{i}", "ds": t, "y": i + np.sin(t / (2 + 0.3 * i))})
            for i in range(3)
        ],
        ignore_index=True,
    )
