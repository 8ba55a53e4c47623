"""Series that are shorter than those an annotator learned from: how right model and rules are.

    python benchmarks/annotation_short.py [--adapter DIR] [--n 300]

Prints one JSON line: for each band of lengths the accuracy of the model (asked whatever the
length), its mean confidence, that of the net change and of the robust rules, and of always saying
the most frequent label. Truth from the latents of generated series. Under 16 points the generator
is used outside of what it was made for: blocks that it cannot draw (more outliers than points) are
left out. Needs pymannkendall, ruptures and statsmodels, of the annotate extra.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from loracast.annotation import (
    Annotator,
    describe_chunk,
    measure,
    robust_rules,
    trend_label,
)

STREAM = 5_000_000  # apart from the seeds of annotators and of their tests
BANDS = ((5, 7), (8, 11), (12, 15), (16, 19), (20, 25), (26, 31), (32, 63))
BLOCK = 10


def drawn(low: int, high: int, n: int) -> list[Any]:
    """N described series of `low` to `high` points that are not constant."""
    rows: list[Any] = []
    index = 0
    while len(rows) < n:
        try:
            block = describe_chunk(STREAM + low, index, BLOCK, lengths=(low, high))
        except ValueError:
            block = []
        rows += [r for r in block if np.unique(r.values[np.isfinite(r.values)]).size > 1]
        index += 1
    return rows[:n]


def share(said: list[Any], truth: list[Any]) -> float:
    """How many are the same, to three digits."""
    return round(float(np.mean([a == b for a, b in zip(said, truth, strict=True)])), 3)


def main() -> None:
    """Ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--n", type=int, default=300)
    args = parser.parse_args()
    made = Annotator.from_pretrained() if args.adapter is None else Annotator.load(args.adapter)
    sys.modules[describe_chunk.__module__].SHORTEST = BANDS[0][0]
    out: dict[str, Any] = {"n": args.n, "annotator": made.name, "bands": {}}
    for low, high in BANDS:
        rows = drawn(low, high, args.n)
        said = made.engine.answers([r.values for r in rows])
        rules = [robust_rules(r.values) for r in rows]
        net = [trend_label(measure(r.values).net_change) for r in rows]
        band: dict[str, Any] = {}
        for name in ("trend", "noise"):
            truth = [getattr(r.facts, name) for r in rows]
            band[name] = {
                "model": share([getattr(a.facts, name) for a in said], truth),
                "confidence": round(float(np.mean([a.confidence[name] for a in said])), 3),
                "robust_rules": share([getattr(f, name) for f in rules], truth),
                "majority": max(share([label] * len(truth), truth) for label in set(truth)),
            }
        band["trend"]["net_change"] = share(net, [r.facts.trend for r in rows])
        out["bands"][f"{low}-{high}"] = band
    print(json.dumps(out))


if __name__ == "__main__":
    main()
