"""Learn from held-out series how wide an engine's sampled bands should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loracast.api._engine import Engine
from loracast.api._spread import spread_factors
from loracast.flops import Ledger

__all__ = ["calibrate_spread"]


def calibrate_spread(
    engine: Engine,
    series: Sequence[np.ndarray],
    context_steps: int,
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
        series: N arrays (T_n, C); those not longer than the context are left out.
        context_steps: steps shown of each.
        horizon: H, steps to learn factors for, at most.
        samples: S paths a series.
        seed: of the draws.
        ledger: charged.
        stage: its name there.

    Raises:
        BudgetExceeded: it does not fit.
    """
    usable = [
        s
        for s in series
        if len(s) > context_steps and np.isfinite(s[:context_steps]).any(axis=0).all()
    ]
    if not engine.task.continuous or not usable or horizon < 1:
        return
    contexts = [s[:context_steps] for s in usable]
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
    for values, prompt, sampled in zip(usable, engine.prompts(contexts), drawn, strict=True):
        known = values[context_steps : context_steps + horizon]
        paths.append(np.stack([engine.task.scaled(path, prompt) for path in sampled]))
        truth.append(engine.task.scaled(known, prompt))
    engine.spread = spread_factors(paths, truth)
