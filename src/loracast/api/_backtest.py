"""A backtest: the adapted model, its base and the classical methods on the same held-out steps.

Knows panels and folders of adapters; how methods are scored is `_compare`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from loracast.adapters import check_adapter, read_manifest
from loracast.api._compare import (
    GLOBAL_MLP,
    Row,
    baseline_rows,
    check_methods,
    model_row,
    scored_horizons,
)
from loracast.api._engine import Engine
from loracast.api._inputs import adapter_folder, calibrated, require_known, series_keys
from loracast.api._sampling import UNLIMITED_FLOPS
from loracast.codec import make_codec
from loracast.errors import ConfigError, DataError
from loracast.evaluation import GlobalMLP
from loracast.flops import Ledger, parse_flops
from loracast.series import Panel

__all__ = ["METHODS", "compare_methods"]

MLP_FILE = "global_mlp.safetensors"  # beside an adapter, where a study put it
METHODS = (
    "adapted",
    "zero_shot",
    "naive",
    "seasonal_naive",
    "var5_log",
    "quadratic_growth",
    GLOBAL_MLP,
)


class Watcher(Protocol):
    """Who is told how far a comparison is."""

    def stage(self, name: str, total: int | None) -> None:
        """A method begins; `total` steps are expected, None if unknown."""

    def advance(self, n: int, text: str = "") -> None:
        """So many steps were done."""


def compare_methods(
    panel: Panel,
    *,
    context: int,
    horizon: int,
    adapter: str | Path | None = None,
    model: str | None = None,
    codec: Mapping[str, Any] | None = None,
    methods: Sequence[str] | None = None,
    samples: int = 20,
    seed: int = 0,
    budget: str | float | None = None,
    train: Panel | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Row]:
    """Forecast every series from its first steps by every method, and score what follows.

    Args:
        panel: N series; each gives its first `context` steps, and the `horizon` after them.
        context: T steps that every method is given.
        horizon: H steps that are scored.
        adapter: folder of an adapter; without one, `adapted` is left out.
        model: the base of `zero_shot` (default: the adapter's own, else the embedded one), or
            where the adapter's base is now.
        codec: of `zero_shot` without an adapter (default as in `Engine.open`); with one it is the
            adapter's.
        methods: names, in the order wanted; None takes all of `METHODS` that can run.
        samples: S paths a series.
        seed: of the draws.
        budget: FLOPs for the language models together; None sets no limit.
        train: series to train the global MLP on, where none lies beside the adapter.
        watcher: told how far it is.

    Returns:
        method -> `{"h5": {"mae": ..., ...}, "h20": ..., "flops", "seconds", "note"}`, for the
        horizons 5, 20 and 30 that fit and the horizon itself.

    Raises:
        DataError: series shorter than context and horizon together, or without known values.
        ConfigError: an unknown method, or `adapted` without an adapter.
        AdapterError, ModelError: they cannot be loaded.
        BudgetExceeded: the language models' forecasts do not fit.
    """
    if context < 2 or horizon < 1:
        raise DataError(
            f"got context {context} and horizon {horizon}; expected at least 2 and 1 steps"
        )
    if methods is None:
        methods = METHODS if adapter is not None else METHODS[1:]
    check_methods([m for m in methods if m not in METHODS[:2]])
    if "adapted" in methods and adapter is None:
        raise ConfigError("got the method 'adapted' without an adapter; give one (--adapter DIR)")
    purpose = f"a backtest with context {context} and horizon {horizon}"
    panel.require_length(context + horizon, purpose)
    past = panel.steps(None, context)
    require_known(past, None, "a forecast")
    truth = np.stack(panel.steps(context, context + horizon).values)
    horizons = scored_horizons(horizon)
    limit = UNLIMITED_FLOPS if budget is None else parse_flops(budget)
    rows: dict[str, Row] = {}
    with (
        tempfile.TemporaryDirectory(prefix="loracast-") as folder,
        Ledger(Path(folder) / "ledger.sqlite", limit) as ledger,
    ):
        for method in methods:
            if method not in METHODS[:2]:
                if watcher is not None:
                    watcher.stage(method, None)
                mlp, problem = None, ""
                if method == GLOBAL_MLP:
                    mlp, problem = _global_mlp(adapter, train, seed, watcher)
                found, _ = baseline_rows(
                    past.values, truth, [method], seed=seed, horizons=horizons, global_mlp=mlp
                )
                rows[method] = found[method] | ({"note": problem} if problem else {})
                continue
            engine = _engine(method, adapter, model, codec, past)
            if watcher is not None:
                watcher.stage(method, len(panel) * samples * horizon)
            rows[method], _ = model_row(
                engine,
                past.values,
                series_keys(panel.ids),
                truth,
                horizons,
                samples=samples,
                seed=seed,
                ledger=ledger,
                stage=method,
                progress=None if watcher is None else watcher.advance,
            )
    return rows


def _engine(
    method: str,
    adapter: str | Path | None,
    model: str | None,
    codec: Mapping[str, Any] | None,
    past: Panel,
) -> Engine:
    """The adapted model, or the base that it was adapted from."""
    if adapter is None:
        made = None if codec is None else make_codec(**dict(codec))
        return calibrated(Engine.open(model or "embedded", made), past.values)
    folder = adapter_folder(adapter)
    if method == "adapted":
        return Engine.load(folder, model=model)
    manifest = read_manifest(folder)
    return Engine.open(
        model or manifest.model, dict(manifest.codec), random_start=manifest.random_start
    )


def _global_mlp(
    adapter: str | Path | None, train: Panel | None, seed: int, watcher: Watcher | None
) -> tuple[GlobalMLP | None, str]:
    """The fitted network, or why there is none."""
    if adapter is not None:
        for folder in (adapter_folder(adapter), Path(adapter)):
            if (folder / MLP_FILE).is_file():
                check_adapter(adapter_folder(adapter))
                return GlobalMLP.load(folder / MLP_FILE), ""
    if train is None:
        return None, (
            f"not available: no {MLP_FILE} beside the adapter and no series to train it on "
            "(--train-data)"
        )

    def told(done: int, total: int, loss: float) -> None:
        if watcher is not None:
            if done == 1:
                watcher.stage("training global_mlp", total)
            watcher.advance(1, f"loss {loss:.4f}")

    try:
        return GlobalMLP.fit(train.values, seed=seed, on_step=told), ""
    except DataError as problem:
        return None, f"does not apply: {problem}"
