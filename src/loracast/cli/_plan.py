"""`loracast plan`: what a recipe's stages will cost on a model, before anything is trained.

Prices the windows and prompts that the study would really use, with the same formulas as its
meter, and does not need the model's weights: a built-in shape such as Qwen/Qwen2.5-0.5B-Instruct
is priced with the token counts of the recipe's codec.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._flops import architecture_of
from loracast.cli._options import AsJson, Budget
from loracast.cli._output import print_json
from loracast.errors import BudgetExceeded
from loracast.flops import (
    Architecture,
    LoraSpec,
    Plan,
    PlannedStage,
    format_flops,
    get_convention,
    parse_flops,
)

if TYPE_CHECKING:
    from loracast.api import Engine
    from loracast.studies import Recipe
    from loracast.studies._data import StudyData
    from loracast.tasks import Example

__all__ = ["plan", "plan_of"]

_PRICED_BATCHES = 8


def plan(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="YAML file or name; default: the shipped study."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="CSV, Parquet or HDF5; default: the recipe's.")
    ] = None,
    budget: Budget = None,
    model: Annotated[
        str | None, typer.Option("--model", help="embedded, a folder, or Qwen/Qwen2.5-...")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Measure this machine's speed.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """List a study's stages, steps, FLOPs, shares and time; propose what fits."""
    from loracast.studies import load_recipe

    chosen = load_recipe(recipe)
    update: dict[str, Any] = {"budget": budget, "model": model}
    if data is not None:
        update["data"] = chosen.data.model_copy(update={"path": str(data)})
    chosen = chosen.model_copy(update={k: v for k, v in update.items() if v is not None})
    pricer = _Pricer.open(chosen)
    planned = plan_of(pricer)
    try:
        largest = None if planned.fits else planned.largest_fit()
        too_small = ""
    except BudgetExceeded as error:
        largest, too_small = None, str(error)
    speeds: dict[str, float] | None = None
    if calibrate:
        from loracast.cli._speed import measured_speeds

        length = max(len(e) for e in pricer.batches(pricer.full_window, 1)[0])
        speeds = measured_speeds(
            pricer.arch,
            chosen.training.batch_size,
            length,
            chosen.samples,
            chosen.training.precision,
        )
    facts = _facts(planned, speeds) | {
        "model": chosen.model,
        "convention": chosen.convention,
        "flops_per_second": speeds,
        "unfit": planned.unfit(),
        "largest_fit": None if largest is None else _facts(largest, speeds),
        "note": too_small,
    }
    if as_json:
        print_json(facts)
        return
    _show(f"{chosen.name} on {chosen.model}", facts)
    if largest is not None:
        typer.echo(
            f"does not fit from stage {planned.unfit()[0]!r} on; the largest plan that does:"
        )
        _show("largest plan that fits", facts["largest_fit"])
    elif too_small:
        typer.echo(too_small)


@dataclass
class _Pricer:
    """A recipe's data and token counts, priced on one architecture."""

    recipe: Recipe
    data: StudyData
    engine: Engine
    arch: Architecture

    @classmethod
    def open(cls, recipe: Recipe) -> _Pricer:
        from loracast.api import Engine
        from loracast.codec import make_codec
        from loracast.studies._data import load_data

        data = load_data(recipe)
        codec = make_codec(**recipe.codec).calibrate(data.train.values).config()
        here = recipe.model == "embedded" or Path(recipe.model).exists()
        # The weights do not matter for the price, so none are read.
        engine = Engine.open(recipe.model if here else "embedded", codec, random_start=0)
        arch = engine.architecture
        if not here:
            arch = architecture_of(recipe.model).pruned(arch.vocab)
            engine.architecture = arch
        return cls(recipe, data, engine, arch)

    @property
    def full_window(self) -> int:
        """Time steps of a whole window: context and the longest horizon."""
        return self.recipe.context + self.recipe.horizon

    def lora(self, rank: int) -> LoraSpec | None:
        adapter = self.recipe.adapter
        if adapter.method == "full":
            return None
        names = ("all",) if adapter.targets == "all" else adapter.targets
        return LoraSpec(rank, self.arch.resolve_targets(names), adapter.head_bias)

    def batches(self, window: int, n: int) -> list[list[Example]]:
        """The first training batches of windows of so many steps."""
        from loracast.api import FitPlan

        recipe = self.recipe
        fit = FitPlan(window, min(recipe.stride, window), recipe.context_range, recipe.context)
        rows = recipe.training.batch_size
        source = self.engine.windows(self.data.train, fit, rows, recipe.seed)
        return [list(source.batch(i)) for i in range(n)]

    def step_flops(self, window: int, lora: LoraSpec | None) -> float:
        rules = get_convention(self.recipe.convention)
        prices = [
            rules.train_step(self.arch, len(b), max(len(e) for e in b), lora).total
            for b in self.batches(window, _PRICED_BATCHES)
        ]
        return sum(prices) / len(prices)

    def validation_flops(self, lora: LoraSpec | None) -> float:
        from typing import cast

        from loracast.api import FitPlan
        from loracast.flops import Ledger
        from loracast.training import Meter

        recipe = self.recipe
        stride = min(recipe.stride, self.full_window)
        fit = FitPlan(self.full_window, stride, recipe.context_range, recipe.context)
        examples = self.engine.validation_examples(self.data.validation, fit)
        rules = cast("Ledger", _Rules(recipe.convention))
        return Meter(rules, "plan", self.arch, lora, examples).validation_flops

    def train(self, name: str, steps: int, window: int, lora: LoraSpec | None) -> PlannedStage:
        """A training stage: its steps and the validations on the way and at the end."""
        every = self.recipe.training.eval_every
        validations = 1 if not every else steps // every + (steps % every > 0)
        once = self.validation_flops(lora)
        fixed = validations * once
        total = steps * self.step_flops(window, lora) + fixed
        return PlannedStage(name, "train", steps, total, fixed_flops=fixed)

    def forecast(self, name: str, lora: LoraSpec | None = None) -> PlannedStage:
        """All evaluated series forecast once."""
        recipe, engine = self.recipe, self.engine
        engine.lora = lora
        flops = engine.forecast_flops(
            self.data.contexts, recipe.horizon, recipe.samples, recipe.convention
        )
        engine.lora = None
        return PlannedStage(name, "generate", 1, flops, scalable=False)

    def affordable(self, flops: float, window: int, lora: LoraSpec | None) -> int:
        """Steps that so many FLOPs buy, as the study decides it."""
        every = self.recipe.training.eval_every
        once = self.validation_flops(lora)
        per_step = self.step_flops(window, lora) + (once / every if every else 0)
        return int((flops - once) / per_step)


@dataclass(frozen=True)
class _Rules:
    """All that a meter asks of a ledger for a price."""

    convention: str


def plan_of(pricer: _Pricer) -> Plan:
    """The stages of a study in their order.

    Stages after the grid depend on what it finds; the largest rank and the full window stand for
    it, so what they cost is an upper bound. The final stage takes its share of what is left.
    """
    recipe, full = pricer.recipe, pricer.full_window
    limit = parse_flops(recipe.budget)
    rank = recipe.adapter.rank
    stages = [pricer.forecast("zero_shot")]
    stages.append(pricer.train("default", recipe.default_steps, full, pricer.lora(rank)))
    if recipe.grid is not None:
        priced = {
            r: pricer.train("", recipe.grid.steps, full, pricer.lora(r)) for r in recipe.grid.rank
        }
        for rate, r in itertools.product(recipe.grid.learning_rate, recipe.grid.rank):
            cell = priced[r]
            name = f"grid.lr={rate:g},r={r}"
            stages.append(PlannedStage(name, "train", cell.steps, cell.flops, cell.fixed_flops))
        rank = max(recipe.grid.rank)
    lora = pricer.lora(rank)
    if recipe.contexts is not None:
        for window in sorted({*recipe.contexts.windows, full}):
            steps = round(recipe.contexts.steps * full / window)
            stages.append(pricer.train(f"context.{window}", steps, window, lora))
    kept = pricer.forecast("", lora).flops * (1 + recipe.random_start)
    left = (limit - sum(s.flops for s in stages) - kept) * recipe.final_share
    steps = min(max(1, pricer.affordable(left, full, lora)), recipe.max_final_steps)
    final = pricer.train("final", steps, full, lora)
    stages += [final, pricer.forecast("test")]
    if recipe.random_start:
        steps = max(1, pricer.affordable(final.flops, full, None))
        stages.append(pricer.train("random_start", steps, full, None))
        stages.append(pricer.forecast("test_random_start"))
    return Plan(tuple(stages), limit)


def _facts(planned: Plan, speeds: dict[str, float] | None) -> dict[str, Any]:
    seconds = {} if speeds is None else planned.seconds(speeds)
    shares = planned.shares()
    return {
        "limit_flops": planned.limit_flops,
        "total_flops": planned.total_flops,
        "left_flops": planned.left_flops,
        "fits": planned.fits,
        "seconds": sum(seconds.values()) if seconds else None,
        "stages": [
            {
                "name": s.name,
                "kind": s.kind,
                "steps": s.steps,
                "flops": s.flops,
                "share": shares[s.name],
                "seconds": seconds.get(s.name),
            }
            for s in planned.stages
        ],
    }


def _show(title: str, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("stage", "kind", "steps", "FLOPs", "share", "time"):
        table.add_column(name, justify="left" if name in ("stage", "kind") else "right")
    for s in facts["stages"]:
        table.add_row(
            s["name"],
            s["kind"],
            f"{s['steps']:,}",
            f"{s['flops']:.3e}",
            f"{100 * s['share']:.2f} %",
            _clock(s["seconds"]),
        )
    Console(highlight=False).print(table)
    used, limit = facts["total_flops"], facts["limit_flops"]
    typer.echo(
        f"planned: {format_flops(used)}, {100 * used / limit:.1f} % of {format_flops(limit)}"
    )
    if facts["seconds"] is not None:
        typer.echo(f"about {_clock(facts['seconds'])} at the speed measured on this machine")


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
