"""The bare base on real series: MASE beside seasonal naive and AutoETS, nothing trained.

    pip install statsmodels sktime
    python benchmarks/zero_shot.py [--model embedded] [--codecs continuous compact]

Univariate series from the data sets that statsmodels and sktime ship, each with its season m
(1 where it has none). The last `windows` x h steps are forecast from all steps before each cutoff,
h = two seasons, or 8 steps. MASE is scaled by the in-sample error of seasonal naive at lag m, as
Hyndman and Koehler (2006) define it. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import numpy as np

from loracast.codec import make_codec
from loracast.forecasting import Engine


def real_series() -> dict[str, tuple[np.ndarray, int]]:
    """Name -> (values (T,), season m)."""
    from sktime.datasets import (
        load_airline,
        load_lynx,
        load_PBS_dataset,
        load_shampoo_sales,
        load_uschange,
    )
    from statsmodels import datasets

    def frame(name: str) -> object:
        return getattr(datasets, name).load_pandas().data

    macro = frame("macrodata")
    co2 = frame("co2")["co2"]  # type: ignore[index]
    out = {
        "airline": (load_airline().to_numpy(), 12),
        "lynx": (load_lynx().to_numpy(), 1),
        "shampoo": (load_shampoo_sales().to_numpy(), 12),
        "pbs": (load_PBS_dataset().to_numpy(), 12),
        "us consumption": (load_uschange()[0].to_numpy(), 4),
        "sunspots": (frame("sunspots")["SUNACTIVITY"].to_numpy(), 1),  # type: ignore[index]
        "nile": (frame("nile")["volume"].to_numpy(), 1),  # type: ignore[index]
        "co2": (co2.resample("MS").mean().interpolate().to_numpy(), 12),
        "el nino": (frame("elnino").iloc[:, 1:].to_numpy().ravel(), 12),  # type: ignore[attr-defined]
        "inflation (de)": (frame("interest_inflation")["Dp"].to_numpy(), 4),  # type: ignore[index]
    }
    for column in ("realgdp", "realinv", "cpi", "tbilrate", "unemp"):
        out[column] = (macro[column].to_numpy(), 4)  # type: ignore[index]
    return {name: (np.asarray(v, dtype=float), m) for name, (v, m) in out.items()}


def seasonal_naive(context: np.ndarray, h: int, m: int) -> np.ndarray:
    """The last season repeated, (h,)."""
    return np.resize(context[-m:], h)


def auto_ets(context: np.ndarray, h: int, m: int) -> np.ndarray:
    """Statsforecast's AutoETS, (h,)."""
    from statsforecast.models import AutoETS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(AutoETS(season_length=m).forecast(context, h)["mean"])


def main() -> None:
    """Score every method on every window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--codecs", nargs="+", default=["continuous", "compact"])
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--samples", type=int, default=20)
    args = parser.parse_args()
    windows: list[tuple[str, np.ndarray, np.ndarray, int]] = []
    for name, (values, m) in real_series().items():
        h = max(8, 2 * m) if len(values) > 60 else m
        for w in range(args.windows):
            cut = len(values) - h * (args.windows - w)
            if cut >= max(20, 2 * m):
                windows.append((name, values[:cut], values[cut : cut + h], m))
    scores: dict[str, dict[str, list[float]]] = {}

    def note(method: str, place: int, point: np.ndarray) -> None:
        name, context, truth, m = windows[place]
        scale = np.abs(context[m:] - context[:-m]).mean()
        error = np.abs(point[: len(truth)] - truth).mean() / scale
        scores.setdefault(method, {}).setdefault(name, []).append(float(error))

    for place, (_, context, truth, m) in enumerate(windows):
        note("seasonal naive", place, seasonal_naive(context, len(truth), m))
        note("AutoETS", place, auto_ets(context, len(truth), m))
    seconds = {}
    longest = max(len(truth) for _, _, truth, _ in windows)
    for codec in args.codecs:
        started = time.monotonic()
        engine = Engine.open(args.model, make_codec(codec))
        samples = engine.sample(
            [c[:, None] for _, c, _, _ in windows],
            [f"{name}-{i}" for i, (name, *_) in enumerate(windows)],
            longest,
            samples=args.samples,
            seed=0,
        )
        seconds[codec] = round(time.monotonic() - started, 1)
        for place, paths in enumerate(samples):
            note(codec, place, np.median(paths, axis=0)[:, 0])
    names = list(dict.fromkeys(name for name, *_ in windows))
    table = {
        method: {name: round(float(np.mean(by[name])), 3) for name in names}
        for method, by in scores.items()
    }
    for name in names:
        print(f"{name:16s}" + "".join(f"{table[m][name]:16.3f}" for m in table))
    means = {
        m: round(float(np.exp(np.mean(np.log(list(t.values()))))), 3) for m, t in table.items()
    }
    print(f"{'':16s}" + "".join(f"{m:>16s}" for m in table))
    print(
        json.dumps(
            {
                "benchmark": "zero_shot",
                "model": args.model,
                "series": len(names),
                "windows": len(windows),
                "geometric_mean_mase": means,
                "seconds": seconds,
                "mase": table,
            }
        )
    )


if __name__ == "__main__":
    main()
