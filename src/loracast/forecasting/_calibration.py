"""Learn from held-out series how wide an engine's sampled bands should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loracast.forecasting._engine import Engine
from loracast.forecasting._spread import spread_factors
from loracast.ledger import Ledger

__all__ = ["calibrate_spread"]


def calibrate_spread(
    engine: Engine,
    series: Sequence[np.ndarray],
    context_steps: int | Sequence[int],
    horizon: int,
    *,
    samples: int,
    seed: int,
    ledger: Ledger,
    stage: str,
) -> None:
    """Set `engine.spread` from series that its model was not trained on.

    Only where numbers are sampled; digits are drawn from distributions of their own.

    Args:
        engine: the fitted model.
        series: N arrays (T_n, C); those not longer than the context are left out. What follows the
            context must be new to the model, and to the choice of its checkpoint.
        context_steps: steps shown of each, or of every series its own.
        horizon: H, steps to learn factors for, at most.
        samples: S paths a series.
        seed: of the draws.
        ledger: charged.
        stage: its name there.

    Raises:
        BudgetExceeded: it does not fit.
        ConfigError: fewer samples than an 80 % band wants.
    """
    counts = [context_steps] * len(series) if isinstance(context_steps, int) else context_steps
    usable = [
        (s, n)
        for s, n in zip(series, counts, strict=True)
        if len(s) > n and np.isfinite(s[:n]).any(axis=0).all()
    ]
    if not engine.task.widens or not usable or horizon < 1:
        return
    contexts = [s[:n] for s, n in usable]
    engine.spread = ()
    drawn = engine.sample(
        contexts,
        [f"calibration-{i}" for i in range(len(usable))],
        horizon,
        samples=samples,
        seed=seed,
        ledger=ledger,
        stage=stage,
        widen=False,
    )
    paths, truth = [], []
    for (values, n), prompt, sampled in zip(usable, engine.prompts(contexts), drawn, strict=True):
        known = values[n : n + horizon]
        paths.append(np.stack([engine.task.scaled(path, prompt) for path in sampled]))
        truth.append(engine.task.scaled(known, prompt))
    engine.spread = spread_factors(paths, truth)
