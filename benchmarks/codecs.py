"""What each codec keeps of the numbers, and what it costs in symbols.

    python benchmarks/codecs.py --data lotka_volterra.h5 [--first 800 --count 100 --context 70]

Scaling states are fitted on the first `context` steps of each system, global scales on the systems
before `first`; all steps are encoded and the ones after the context are scored, in the units of the
data. No model is involved: this is the floor under any forecast made through the codec. On the
symbols of these codecs a digit-wise tokenizer has one token each. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from loracast.codec import Codec, make_codec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "codec"))
from round_trip import round_trip_report

CODECS: list[tuple[str, dict[str, object]]] = [
    ("mao", {"name": "mao"}),
    ("fung", {"name": "fung"}),
    ("miller", {"name": "miller"}),
    ("llmtime", {"name": "llmtime"}),
    *[(f"compact D={d}", {"name": "compact", "digits": d}) for d in (2, 3, 4)],
    ("compact D=3 bare", {"name": "compact", "separator": ""}),
    *[(f"compact D=3 headroom {h}", {"headroom": h}) for h in (0.05, 0.1, 0.15, 0.3, 0.4)],
    *[(f"compact D=3 {t}", {"transform": t}) for t in ("log", "asinh")],
    *[(f"compact D=3 {t} 0.1", {"transform": t, "headroom": 0.1}) for t in ("log", "asinh")],
    ("compact D=2 headroom 0.1", {"digits": 2, "headroom": 0.1}),
    ("compact D=2 log", {"digits": 2, "transform": "log"}),
    ("compact D=4 log", {"digits": 4, "transform": "log"}),
]


def milliseconds(codec: Codec, values: np.ndarray, n_context: int) -> float:
    """Best of 30 encodes of one whole series."""
    state, best = codec.fit(values[:n_context]), float("inf")
    for _ in range(30):
        start = time.perf_counter()
        codec.encode(values, state)
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def measure(options: dict[str, object], series: np.ndarray, args: argparse.Namespace) -> dict:
    """One row: figures of one codec over the systems first..first+count-1."""
    codec = make_codec(**options).scaled_for(list(series[: args.first]))
    chosen = series[args.first : args.first + args.count]
    contexts, futures = list(chosen[:, : args.context]), list(chosen[:, args.context :])
    report = round_trip_report(codec, contexts, futures)
    # Only what left the seen range, the rest as missing values.
    gaps = make_codec(**(codec.config() | ({} if codec.name == "compact" else {"missing": True})))
    left = []
    for context, future in zip(contexts, futures, strict=True):
        inside = (future >= context.min(axis=0)) & (future <= context.max(axis=0))
        left.append(np.where(inside, np.nan, future))
    return {
        "mae": report.mae,
        "max_error": report.max_error,
        "relative_error": report.relative_error,
        "mae_outside": round_trip_report(gaps, contexts, left).mae,
        "symbols_per_step": report.symbols_per_step,
        "share_outside": report.share_outside,
        "share_clipped": report.share_clipped,
        "alphabet": len(codec.alphabet),
        "encode_ms": milliseconds(codec, chosen[0], args.context),
    }


def main() -> None:
    """Measures all codecs of the list above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="HDF5 with trajectories (N, T, C)")
    parser.add_argument("--first", type=int, default=800)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--context", type=int, default=70)
    args = parser.parse_args()
    with h5py.File(args.data) as file:
        series = file["trajectories"][: args.first + args.count].astype(float)
    print(
        "| codec | MAE | max error | MAE outside | symbols a step | outside | cut | symbols | ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    rows = {}
    for label, options in CODECS:
        row = rows[label] = measure({"name": "compact"} | options, series, args)
        print(
            f"| {label} | {row['mae']:.6f} | {row['max_error']:.4f} | {row['mae_outside']:.6f} "
            f"| {row['symbols_per_step']:.2f} | {100 * row['share_outside']:.2f} % "
            f"| {100 * row['share_clipped']:.2f} % | {row['alphabet']} | {row['encode_ms']:.2f} |"
        )
    print(json.dumps({"benchmark": "codecs", "context": args.context, "codecs": rows}))


if __name__ == "__main__":
    main()
