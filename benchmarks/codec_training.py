"""Which codec learns fastest: one small network from scratch per codec, equal FLOPs, real systems.

Trains on systems 0..799 of a predator-prey file, scores on 800..899 (context 70). Prints a table
and ends with one JSON line.

    python benchmarks/codec_training.py ../shared/data/lotka_volterra_dev.h5 --flops 1e13
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from loracast.adapters import AdapterConfig
from loracast.backbone import build_embedded, embedded_config
from loracast.codec import make_codec
from loracast.flops import parse_flops
from loracast.forecasting import Engine, FitPlan
from loracast.ledger import Ledger
from loracast.series import read_panel, split_panel
from loracast.training import TrainConfig

CODECS: dict[str, dict[str, object]] = {
    "compact D=2 headroom .1": {"digits": 2, "headroom": 0.1},
    "compact D=2 headroom .2": {"digits": 2, "headroom": 0.2},
    "compact D=2 headroom .1, no ;": {"digits": 2, "headroom": 0.1, "separator": ""},
    "compact D=2 headroom .1, log": {"digits": 2, "headroom": 0.1, "transform": "log"},
    "compact D=3 headroom .1": {"digits": 3, "headroom": 0.1},
    "compact D=4 headroom .1": {"digits": 4, "headroom": 0.1},
    "mao": {"name": "mao"},
    "miller": {"name": "miller"},
}


def measure(
    options: dict[str, object], path: Path, flops: float, samples: int
) -> dict[str, object]:
    """Train and score one codec."""
    panel = read_panel(path)
    train, validation, _ = split_panel(panel, 800, 100)
    codec = make_codec(**{"name": "compact", **options}).scaled_for(train.values)
    with tempfile.TemporaryDirectory() as work:
        build_embedded(Path(work) / "base", embedded_config(128, 4, 384), seed=0)
        engine = Engine.open(str(Path(work) / "base"), codec)
        engine.model.attach(AdapterConfig(method="full"), seed=0)
        plan = FitPlan(window_steps=100, stride=100)
        config = TrainConfig(
            steps=1, batch_size=8, learning_rate=4e-3, optimizer="muon", warmup_steps=20,
            weight_decay=0.05, eval_every=0, checkpoint_every=100_000,
        )  # fmt: skip
        with Ledger(Path(work) / "ledger.sqlite", 1e18, "exact") as ledger:
            step = engine.model.pricer().step_flops(engine.windows(train, plan, 8, 0).batch(0))
            config = config.model_copy(update={"steps": int(flops / step)})
            started = time.monotonic()
            result = engine.fit(
                train, [], plan, config, ledger=ledger, stage="t", folder=Path(work) / "c"
            )
            seconds = time.monotonic() - started
        contexts = [v[:70] for v in validation.values]
        truth = np.stack([v[70:] for v in validation.values])
        keys = [str(i) for i in validation.ids]
        drawn = engine.sample(contexts, keys, 30, samples=samples, seed=0)
    error = np.abs(np.median(drawn, axis=1) - truth)
    width = engine.task.longest_step(2)
    return {
        "symbols_per_step": width,
        "steps": result.steps,
        "flops": result.flops,
        "seconds": round(seconds, 1),
        **{f"h{h}": round(float(error[:, :h].mean()), 4) for h in (5, 20, 30)},
    }


def main() -> None:
    """Measure all codecs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--flops", default="1e13")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", choices=list(CODECS), default=list(CODECS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = {}
    for name, options in CODECS.items():
        if name in args.only:
            rows[name] = measure(options, args.data, parse_flops(args.flops), args.samples)
            print(f"{name:32s} {rows[name]}", flush=True)
    print(json.dumps({"benchmark": "codec_training", "flops": args.flops, "rows": rows}))


if __name__ == "__main__":
    main()
