"""The search of a study: settings tried in short trainings, repeated over seeds, and the choice.

The adapter's grid and window lengths, and a learning rate for each rival at equal cost. Knows which
settings are tried and with how many steps; how one is trained and judged is the stages' business.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from loracast.adapters import AdapterConfig
from loracast.studies._choice import Candidate, choose
from loracast.studies._recipe import Recipe
from loracast.studies._stages import train_stage
from loracast.studies._state import Run
from loracast.studies._validation import validation_forecast_flops

if TYPE_CHECKING:
    from loracast.studies._state import Findings

__all__ = ["FULL", "adapter_of", "affordable_steps", "decided", "search", "search_rival"]

FULL = AdapterConfig(method="full")


def adapter_of(recipe: Recipe, rank: int) -> AdapterConfig:
    """The default adapter at another rank, its alpha in proportion."""
    share = recipe.adapter.alpha / recipe.adapter.rank
    return recipe.adapter.model_copy(update={"rank": rank, "alpha": share * rank})


def search(run: Run, found: Findings) -> None:
    """Default, grid and window length; fills `found.stages`, `found.chosen` and `found.choices`.

    Raises:
        BudgetExceeded: it does not fit; what was trained is kept.
    """
    recipe = run.recipe
    full = recipe.context + recipe.horizon
    best = found.chosen = {
        "learning_rate": recipe.training.learning_rate,
        "rank": recipe.adapter.rank,
        "window": full,
    }
    found.stages["default"] = train_stage(
        run, "default", adapter=recipe.adapter, training=run.training(recipe.default_steps)
    )
    grid, contexts = recipe.grid, recipe.contexts
    if grid is not None:
        cells = list(itertools.product(grid.learning_rate, grid.rank))
        taken = _choose(
            run,
            found,
            "grid",
            [f"lr={rate:g},r={rank}" for rate, rank in cells],
            lambda name, i, seed: train_stage(
                run,
                name,
                adapter=adapter_of(recipe, cells[i][1]),
                training=run.training(grid.steps, cells[i][0], seed),
            ),
            default=(recipe.training.learning_rate, recipe.adapter.rank),
            values=cells,
            repeats=grid.repeats,
        )
        best["learning_rate"], best["rank"] = taken
    if contexts is not None:
        windows = sorted({*contexts.windows, full})
        best["window"] = _choose(
            run,
            found,
            "context",
            [str(window) for window in windows],
            lambda name, i, seed: train_stage(
                run,
                name,
                adapter=adapter_of(recipe, best["rank"]),
                # about equal FLOPs
                training=run.training(
                    round(contexts.steps * full / windows[i]), best["learning_rate"], seed
                ),
                window_steps=windows[i],
            ),
            default=full,
            values=windows,
            repeats=contexts.repeats,
        )


def search_rival(run: Run, found: Findings, name: str, flops: float) -> float:
    """The learning rate of a rival, chosen with as many FLOPs as the adapter's search spent.

    Args:
        run: the study.
        found: gets the stages `search_NAME.lr=...` and the reason of the choice.
        name: of the rival.
        flops: of its whole search.

    Returns:
        The learning rate; the recipe's own where there is no grid.

    Raises:
        BudgetExceeded: it does not fit.
    """
    recipe = run.recipe
    if recipe.grid is None:
        return recipe.training.learning_rate
    rates, repeats = recipe.grid.learning_rate, recipe.grid.repeats
    window, fresh = found.chosen["window"], name == "random_start"
    steps = decided(
        run,
        f"search_{name}",
        lambda: max(
            1, affordable_steps(run, FULL, window, flops / (len(rates) * repeats), random=fresh)
        ),
    )
    return float(
        _choose(
            run,
            found,
            f"search_{name}",
            [f"lr={rate:g}" for rate in rates],
            lambda stage, i, seed: train_stage(
                run,
                stage,
                adapter=FULL,
                training=run.training(steps, rates[i], seed),
                window_steps=window,
                random_start=fresh,
            ),
            default=recipe.training.learning_rate,
            values=rates,
            repeats=repeats,
        )
    )


def _choose(
    run: Run,
    found: Findings,
    stage: str,
    labels: Sequence[str],
    train: Callable[[str, int, int], dict[str, Any]],
    *,
    default: Any,
    values: Sequence[Any],
    repeats: int,
) -> Any:
    """Train every candidate with every seed, and take one."""
    candidates = []
    for i, label in enumerate(labels):
        facts = []
        for repeat in range(repeats):
            name = f"{stage}.{label}" + (f",repeat={repeat}" if repeat else "")
            found.stages[name] = train(name, i, run.recipe.seed + repeat)
            facts.append(found.stages[name])
        candidates.append(
            Candidate(
                label,
                tuple(_judged(run.recipe, fact) for fact in facts),
                sum(fact["flops"] for fact in facts),
                values[i] == default,
            )
        )
    taken = choose(candidates, "in log MAE" if run.recipe.select == "val_mae" else "nats")
    found.choices[stage] = asdict(taken) | {"label": labels[taken.index]}
    return values[taken.index]


def _judged(recipe: Recipe, facts: dict[str, Any]) -> float:
    """What a training is chosen by, lower is better; infinite where it diverged.

    Errors are compared in logs, where seeds scatter alike whatever the size of the error.
    """
    value = facts[recipe.select]
    if value is None or not math.isfinite(value):
        return math.inf
    if recipe.select == "val_mae":
        return math.log(value) if value > 0 else -math.inf
    return float(value)


def affordable_steps(
    run: Run, adapter: AdapterConfig, window: int, flops: float, *, random: bool
) -> int:
    """Steps that a share of the budget buys, validations included."""
    engine = run.open(adapter, random)
    training = run.training(1)
    validation = run.validation(engine)
    pricer = engine.model.pricer(run.ledger.convention, training.optimizer)
    source = engine.windows(run.data.train, run.plan(window), training.batch_size, run.recipe.seed)
    # Windows of equal length cost the same; of ragged ones this is an average.
    step = float(np.mean([pricer.step_flops(source.batch(i)) for i in range(8)]))
    once = pricer.validation_flops(validation)
    per_step = step + (once / training.eval_every if training.eval_every else 0)
    left = flops - once - validation_forecast_flops(run, engine)
    return int(left / per_step)


def decided(run: Run, name: str, decide: Callable[[], int]) -> int:
    """A number of steps that is decided once and then kept, so that a resumed study agrees."""
    stored = run.workspace.done(f"{name}.steps")
    if stored is None:
        stored = run.workspace.finish(f"{name}.steps", {"steps": decide()})
    return int(stored["steps"])
