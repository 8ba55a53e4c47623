"""How much accuracy adaptation FLOPs buy: MAE against FLOPs, beside the classical methods.

    python benchmarks/adaptation_curve.py lotka_volterra.h5 --steps 30 60 125 250 500 --plot PNG

Each number of steps is a training of its own, at the settings of `recipes/study.yaml`, of the
embedded base with LoRA on series 0..799; scored on 800..899, context 70, median of 20 samples.
FLOPs are those of training alone (`exact`). `--study result.json` adds the finished study's point
and the classical methods as lines. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loracast.evaluation import ADAPTED, METHODS, ZERO_SHOT
from loracast.forecasting import Engine, FitPlan
from loracast.ledger import Ledger
from loracast.series import read_panel, split_panel
from loracast.studies import load_recipe

HORIZONS = (5, 20, 30)
SHOWN = ("quadratic_growth", "global_mlp", "var5_log")  # beside the adapted model


def score(engine: Engine, contexts: list[np.ndarray], truth: np.ndarray) -> list[float]:
    """MAE over the first 5, 20 and 30 steps."""
    keys = [str(i) for i in range(len(contexts))]
    samples = engine.sample(contexts, keys, truth.shape[1], samples=20, seed=0)
    error = np.abs(np.median(samples, axis=1) - truth)
    return [float(error[:, :h].mean()) for h in HORIZONS]


def draw(points: list[dict[str, Any]], lines: dict[str, list[float]], target: Path) -> None:
    """MAE against FLOPs, a panel for each horizon."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.9), sharey=True)
    trained = sorted((p for p in points if p["flops"] > 0), key=lambda p: p["flops"])
    zero = next(p for p in points if p["flops"] == 0)
    for k, (axis, h) in enumerate(zip(axes, HORIZONS, strict=True)):
        axis.loglog(
            [p["flops"] for p in trained],
            [p["mae"][k] for p in trained],
            "o-",
            color=ADAPTED.colour,
            label="loracast, adapted",
        )
        axis.axhline(zero["mae"][k], color=ZERO_SHOT.colour, ls="--", label="loracast, zero-shot")
        for name, mae in lines.items():
            method = METHODS[name]
            axis.axhline(mae[k], color=method.colour, lw=1.2, label=method.label)
        axis.set_title(f"{h} steps ahead", fontsize=10)
        axis.set_xlabel("FLOPs to adapt")
        axis.grid(alpha=0.25, which="both")
    axes[0].set_ylabel("MAE, original units")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncol=5, fontsize=9, frameon=False, loc="lower center")
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(target, dpi=110)


def main() -> None:
    """Train at every number of steps, score, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[30, 60, 125, 250, 500])
    parser.add_argument("--study", type=Path, help="result.json of a finished study")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = load_recipe("study")
    train, held, _ = split_panel(read_panel(args.data), 800, 100)
    contexts = [v[: recipe.context] for v in held.values]
    truth = np.stack([v[recipe.context : recipe.context + 30] for v in held.values])
    plan = FitPlan(recipe.context + 30, recipe.stride, recipe.context_range, recipe.context)
    bare = Engine.open(recipe.model, recipe.codec)
    points = [{"steps": 0, "flops": 0.0, "seconds": 0.0, "mae": score(bare, contexts, truth)}]
    for steps in args.steps:
        engine = Engine.open(recipe.model, recipe.codec)
        engine.model.attach(recipe.adapter, recipe.seed)
        config = recipe.training.model_copy(update={"steps": steps, "eval_every": 0})
        started = time.monotonic()
        with (
            tempfile.TemporaryDirectory() as work,
            Ledger(Path(work) / "ledger.sqlite", 1e18) as ledger,
        ):
            folder = Path(work) / "checkpoints"
            engine.fit(train, [], plan, config, ledger=ledger, stage="fit", folder=folder)
            flops = ledger.spent_flops
        seconds = time.monotonic() - started
        mae = score(engine, contexts, truth)
        points.append({"steps": steps, "flops": flops, "seconds": seconds, "mae": mae})
        print(
            f"{steps:5d} steps  {flops:.2e} FLOPs  {seconds:6.0f} s  "
            + "  ".join(f"{m:.5f}" for m in mae),
            flush=True,
        )
    lines: dict[str, list[float]] = {}
    if args.study is not None:
        found = json.loads(args.study.read_text())

        def mae_of(method: str) -> list[float]:
            return [float(found["test"][method][f"h{h}"]["mae"]) for h in HORIZONS]

        final = next(s for s in found["stages"] if s["name"] == "final")
        points.append(
            {
                "steps": None,
                "flops": final["flops"],
                "seconds": final["seconds"],
                "mae": mae_of("adapted"),
            }
        )
        lines = {m: mae_of(m) for m in SHOWN}
    if args.plot is not None:
        draw(points, lines, args.plot)
    print(json.dumps({"benchmark": "adaptation_curve", "points": points}))


if __name__ == "__main__":
    main()
