"""Boosted trees on the measurements that a "measured" annotator is told: trend and noise labels.

    python benchmarks/annotation_trees.py [--n 24000] [--seeds 3] [--test 1000] [--min-length 32]

The trees see the numbers of `loracast.series.measure` alone, no point of the series; the annotator
sees both. Trained on generated series of a stream of their own, scored on the test sets of
`loracast annotations train`. Needs scikit-learn, of the dev extra.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from loracast.annotation import describe_chunk, label_of, measure, region_of, unseen_series

STREAM = 4_000_000  # apart from the seeds of annotators
REGIONS = ("beginning", "middle", "end")


def told(values: np.ndarray) -> list[float]:
    """The measurements of one series (T,) as numbers."""
    found = measure(values)
    sides = [REGIONS.index(region_of(k, found.length)) for k in (found.highest, found.lowest)]
    logs = np.log(np.maximum(list(found.noise.values()), 1e-5)).tolist()
    return [found.length, found.net_change, found.ends_change, *sides, *logs]


def table(series: Sequence[Any]) -> np.ndarray:
    """(N, 18) measurements."""
    return np.array([told(values) for values in series])


def main() -> None:
    """Train once a label, print accuracy on all and on clear rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=24_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--min-length", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=1024)
    args = parser.parse_args()
    lengths, started = (args.min_length, args.max_length), time.monotonic()
    rows = describe_chunk(STREAM, 0, args.n, lengths=lengths)
    inputs = table([r.values for r in rows])
    tests = [unseen_series(seed, args.test, lengths) for seed in range(args.seeds)]
    shown = [table(one.values) for one in tests]
    for name in ("trend", "noise"):
        trees = HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.06, max_leaf_nodes=15, random_state=0
        )
        trees.fit(inputs, [label_of(r.facts, name) for r in rows])
        every, clear = [], []
        for one, measured in zip(tests, shown, strict=True):
            right = trees.predict(measured) == [label_of(t, name) for t in one.truth]
            every.append(float(right.mean()))
            clear.append(float(right[[name in t.clear for t in one.truth]].mean()))
        print(
            f"{name}: all {np.mean(every):.3f} {np.round(every, 3).tolist()}, "
            f"clear {np.mean(clear):.3f} {np.round(clear, 3).tolist()}"
        )
    print(f"{args.n} series, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
