"""What does metering cost? The same training of the embedded base, with and without a ledger.

    python benchmarks/metering.py [--steps 40] [--rounds 5]

Rounds alternate between the two, so that a busy machine hits both. The unmetered run prices
nothing and writes nothing; the metered one prices every batch, reserves and settles its blocks
in SQLite and asks for what is left after every step, as the progress bar does. Beside the
difference of whole runs, which a busy machine blurs, the time spent inside the meter is summed.
Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from loracast.adapters import AdapterConfig
from loracast.forecasting import Engine, FitPlan
from loracast.ledger import Ledger
from loracast.synthetic import generate_lotka_volterra
from loracast.training import Example, Meter, StepPricer, TrainConfig, train


class Unmetered(Meter):
    """Grants everything and writes nothing."""

    def __init__(self, pricer: StepPricer, stage: str) -> None:
        self.pricer, self.stage = pricer, stage

    remaining_flops = 0.0

    def reserve_steps(self, start: int, block: Sequence[Sequence[Example]]) -> int:
        """All of them."""
        del start
        return len(block)

    def settle_steps(self, begun: int) -> None:
        """Nothing to settle."""
        del begun

    def spent_by(self, step: int) -> float:
        """Nothing was counted."""
        del step
        return 0.0


class Timed(Meter):
    """The real meter, with the seconds spent in it."""

    seconds = 0.0

    def __getattribute__(self, name: str) -> Any:
        if name not in ("reserve_steps", "settle_steps", "spent_by", "remaining_flops"):
            return super().__getattribute__(name)
        start = time.perf_counter()
        found = super().__getattribute__(name)
        if not callable(found):
            self.seconds += time.perf_counter() - start
            return found
        return functools.partial(self._call, found)

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            self.seconds += time.perf_counter() - start


def main() -> None:
    """Time both and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(min(2, torch.get_num_threads()))
    panel = generate_lotka_volterra(64, seed=0)
    plan = FitPlan(window_steps=100, stride=10)
    dials = TrainConfig(steps=options.steps, batch_size=8, eval_every=0, checkpoint_every=20)
    seconds: dict[str, list[float]] = {"metered": [], "unmetered": []}
    inside: list[float] = []
    for i in range(options.rounds):
        for kind in ("unmetered", "metered"):
            engine = Engine.open("embedded", {"name": "compact"})
            engine.model.attach(AdapterConfig(), 0)
            source = engine.windows(panel, plan, dials.batch_size, 0)
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                ledger = Ledger(folder / "ledger.sqlite", 1e16)
                meter: Meter = Unmetered(engine.model.pricer(), "final")
                if kind == "metered":
                    meter = Timed(engine.model.pricer(), ledger, "final")
                tick = time.perf_counter()
                train(
                    engine.backbone.model,
                    source,
                    dials,
                    meter=meter,
                    folder=folder / "checkpoints",
                    progress=lambda _: None,
                )
                seconds[kind].append(time.perf_counter() - tick)
                if isinstance(meter, Timed):
                    inside.append(meter.seconds / seconds[kind][-1])
                ledger.close()
        del i
    median = {kind: statistics.median(ticks) for kind, ticks in seconds.items()}
    result = {
        "benchmark": "metering",
        "steps": options.steps,
        "rounds": options.rounds,
        "seconds_per_step_unmetered": median["unmetered"] / options.steps,
        "seconds_per_step_metered": median["metered"] / options.steps,
        "difference_percent": 100 * (median["metered"] / median["unmetered"] - 1),
        "inside_meter_percent": 100 * statistics.median(inside),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
