"""Shared by all tests: no network, one thread, no hidden randomness."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

# Before anything imports torch or the Hugging Face libraries: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("loracast", deadline=None, derandomize=True)
settings.load_profile("loracast")

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder `shared` beside the checkout; tests that want it are left out without it."""
    path = CHECKOUT.parent / "shared"
    if not (path / "data").is_dir():
        pytest.skip("shared data not beside the checkout")
    return path


@pytest.fixture(scope="session")
def airline() -> np.ndarray:
    """(144,) thousands of airline passengers a month, 1949 to 1960.

    Box, Jenkins and Reinsel, Time Series Analysis, series G.
    """
    return np.array(
        [
            112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118,
            115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140,
            145, 150, 178, 163, 172, 178, 199, 199, 184, 162, 146, 166,
            171, 180, 193, 181, 183, 218, 230, 242, 209, 191, 172, 194,
            196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201,
            204, 188, 235, 227, 234, 264, 302, 293, 259, 229, 203, 229,
            242, 233, 267, 269, 270, 315, 364, 347, 312, 274, 237, 278,
            284, 277, 317, 313, 318, 374, 413, 405, 355, 306, 271, 306,
            315, 301, 356, 348, 355, 422, 465, 467, 404, 347, 305, 336,
            340, 318, 362, 348, 363, 435, 491, 505, 404, 359, 310, 337,
            360, 342, 406, 396, 420, 472, 548, 559, 463, 407, 362, 405,
            417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432,
        ],
        dtype=float,
    )  # fmt: skip


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained Qwen2 of 2 layers, 64 wide."""
    from loracast.backbone import build_embedded, embedded_config

    folder = tmp_path_factory.mktemp("base") / "tiny"
    build_embedded(folder, embedded_config(64, 2, 128), seed=0)
    return str(folder)


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


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """The same sums in the same order on every machine, and no fight between test workers."""
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    yield
