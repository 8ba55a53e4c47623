"""The loss curve of a pretraining run: python scripts/plot-pretraining.py OUT/pretrain.json PNG."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def main(source: str, target: str) -> None:
    """Draw training losses by kind of batch, and the validation loss.

    A batch of step s has the kind that the recipe's fixed pattern of 100 steps gives it.
    """
    data = json.loads(Path(source).read_text())
    kinds = data["recipe"]["kinds"]
    shares = np.array([k["share"] for k in kinds])
    due, pattern = np.zeros(len(kinds)), []
    for _ in range(100):
        due += shares / shares.sum()
        pattern.append(int(due.argmax()))
        due[pattern[-1]] -= 1
    names = {"continuous": "numbers", "digits": "digits", "annotation": "described series"}
    figure, axis = plt.subplots(figsize=(7, 4.2))
    points: dict[str, list[tuple[int, float]]] = {}
    for entry in data["result"]["history"]:
        kind = kinds[pattern[(entry["step"] - 1) % 100]]["kind"]
        points.setdefault(names[kind], []).append((entry["step"], entry["train_loss"]))
    for name, pairs in points.items():
        steps, losses = np.array(pairs).T
        width = min(9, len(losses))
        smooth = np.convolve(losses, np.ones(width) / width, "valid")
        (line,) = axis.plot(steps, losses, lw=0.5, alpha=0.35)
        axis.plot(
            steps[width // 2 : width // 2 + len(smooth)],
            smooth,
            lw=1.8,
            label=name,
            color=line.get_color(),
        )
    checks = data["result"]["validations"]
    axis.plot(
        [c["step"] for c in checks],
        [c["val_loss"] for c in checks],
        "ko-",
        ms=4,
        lw=1,
        label="validation, all kinds",
    )
    axis.set_xlabel("optimiser step")
    axis.set_ylabel("nats per token or number")
    axis.set_ylim(top=3.2)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
