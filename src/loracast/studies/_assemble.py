"""From what the stages found to result.json and report_data.json; decides nothing."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from loracast.backbone import EMBEDDED_DIR
from loracast.evaluation import resolves
from loracast.forecasting import Engine, sample_quantiles
from loracast.studies._report_data import (
    ContextRow,
    ExampleForecast,
    GradientNorms,
    GridCell,
    LedgerEntry,
    LossCurve,
    LossPoint,
    ReportData,
    write_report_data,
)
from loracast.studies._schema import (
    BudgetInfo,
    MachineInfo,
    MethodResult,
    ModelInfo,
    StageResult,
    StudyResult,
    make_verdict,
    write_result,
)
from loracast.studies._state import Run
from loracast.studies._validation import validation_forecasts
from loracast.training import machine_facts, resolved_precision

if TYPE_CHECKING:
    from loracast.studies._state import Findings

__all__ = ["assemble"]

_REGIMES = ("oscillatory", "decaying", "growing", "stable")


def _by_top(amounts: dict[str, float]) -> dict[str, float]:
    """'grid.lr=0.001,r=8' belongs to 'grid'."""
    total: dict[str, float] = {}
    for name, amount in amounts.items():
        top = name.split(".")[0]
        total[top] = total.get(top, 0.0) + amount
    return total


def _pretraining_flops(model: str) -> float | None:
    card = EMBEDDED_DIR / "pretrain.json"
    if model != "embedded" or not card.is_file():
        return None
    return float(json.loads(card.read_text())["result"]["flops"])


def _model_info(run: Run, base: Engine, found: Findings) -> ModelInfo:
    final = found.stages.get("final") or found.stages.get("default") or {}
    return ModelInfo(
        name=run.recipe.model,
        base_hash=base.backbone.base_sha256,
        n_parameters=sum(p.numel() for p in base.backbone.model.parameters()),
        n_trainable=final.get("n_trainable"),
        vocab_kept=len(base.backbone.vocabulary.kept),
        codec=run.codec,
        adapter=final.get("config", {}).get("adapter", {}),
        architecture=asdict(base.model.architecture),
        pretraining_flops=_pretraining_flops(run.recipe.model),
    )


def _machine(run: Run, base: Engine, found: Findings) -> MachineInfo:
    """This one, and the precision of the last stage that was trained."""
    taken = [f.get("config", {}).get("precision") for f in found.stages.values()]
    device = next(base.backbone.model.parameters()).device
    wanted = resolved_precision(run.recipe.training.precision, device)
    precision = next((p for p in reversed(taken) if p), wanted)
    return MachineInfo(precision=precision, **machine_facts())


def _stage(name: str, facts: dict[str, Any], stopped: str) -> StageResult:
    return StageResult(
        name=name,
        config=facts.get("config", {}),
        train_loss=facts.get("train_loss"),
        val_loss=facts.get("val_loss"),
        val_mae=facts.get("val_mae"),
        metrics=facts.get("metrics", {}),
        flops=facts.get("flops") or 0.0,
        seconds=facts.get("seconds") or 0.0,
        status="done" if not stopped else "stopped",
        note=stopped,
    )


def _curve(name: str, facts: dict[str, Any]) -> LossCurve:
    points = {h["step"]: {"train_loss": h["train_loss"], "lr": h["lr"]} for h in facts["history"]}
    for v in facts["validations"]:
        points.setdefault(v["step"], {})["val_loss"] = v["val_loss"]
    top, _, label = name.partition(".")
    return LossCurve(
        stage=top,
        label=label,
        points=tuple(LossPoint(step=int(s), **points[s]) for s in sorted(points)),
    )


def _repeated(found: Findings, part: str) -> list[dict[str, Any]]:
    """The candidates of a part of the search, each with the mean of its repeats."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, facts in found.stages.items():
        if name.startswith(f"{part}."):
            groups.setdefault(name.split(",repeat=")[0], []).append(facts)
    return [
        rows[0]
        | {key: _mean([row[key] for row in rows]) for key in ("val_mae", "val_loss")}
        | {key: sum(row[key] for row in rows) for key in ("flops", "seconds")}
        | {"repeats": len(rows)}
        for rows in groups.values()
    ]


def _mean(values: list[float | None]) -> float | None:
    """None where one is missing: a mean of fewer runs is another figure."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _grid(found: Findings) -> tuple[GridCell, ...]:
    cells = []
    for facts in _repeated(found, "grid"):
        rate = facts["config"]["training"]["learning_rate"]
        rank = facts["config"]["adapter"]["rank"]
        cells.append(
            GridCell(
                lr=rate,
                rank=rank,
                repeats=facts["repeats"],
                val_mae=facts["val_mae"],
                val_loss=facts["val_loss"],
                flops=facts["flops"],
                chosen=(rate, rank) == (found.chosen["learning_rate"], found.chosen["rank"]),
            )
        )
    return tuple(cells)


def _contexts(run: Run, base: Engine, found: Findings) -> tuple[ContextRow, ...]:
    rows = []
    for facts in _repeated(found, "context"):
        window = facts["config"]["window_steps"]
        rows.append(
            ContextRow(
                context=window,
                tokens=_window_tokens(run, base, facts),
                repeats=facts["repeats"],
                val_mae=facts["val_mae"],
                val_loss=facts["val_loss"],
                flops=facts["flops"],
                seconds=facts["seconds"],
                chosen=window == found.chosen["window"],
            )
        )
    return tuple(rows)


def _window_tokens(run: Run, base: Engine, facts: dict[str, Any]) -> int:
    """Tokens of a training example of a stage: the mean over all that it was trained on."""
    config = facts["config"]
    dials = config["training"]
    source = base.windows(
        run.data.train, run.plan(config["window_steps"]), dials["batch_size"], dials["seed"]
    )
    examples = (example for step in range(dials["steps"]) for example in source.batch(step))
    return round(float(np.mean([len(example) for example in examples])))


def _val_mae_of(run: Run) -> str:
    """What the validation MAE of a stage was taken on, in words."""
    chosen, part = validation_forecasts(run.recipe, run.data), run.recipe.validation_forecasts
    if chosen is None or part is None:
        return ""
    return (
        f"the median of {part.samples} sampled paths of {len(chosen.contexts)} validation series, "
        f"{run.recipe.horizon} steps ahead"
    )


def _matrix(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in values)


def _examples(run: Run, found: Findings) -> tuple[ExampleForecast, ...]:
    """The first evaluated series of each regime, not the best one."""
    samples = found.samples.get("adapted", found.samples.get("zero_shot"))
    if samples is None:
        return ()
    data, regimes = run.data, run.data.regimes()
    chosen = [regimes.index(r) for r in _REGIMES if r in regimes] or list(
        range(min(4, len(regimes)))
    )
    bands = None
    if resolves(samples.shape[1], [0.1]):
        bands = sample_quantiles(samples, [0.1, 0.9])
    return tuple(
        ExampleForecast(
            series_id=data.keys[i],
            regime=regimes[i],
            channels=data.evaluated.channels,
            context=_matrix(data.contexts[i]),
            truth=_matrix(data.truth[i]),
            median=_matrix(np.median(samples[i], axis=0)),
            lo=None if bands is None else _matrix(bands[0, i]),
            hi=None if bands is None else _matrix(bands[1, i]),
        )
        for i in chosen
    )


def _norms(found: Findings) -> tuple[GradientNorms, ...]:
    final = found.stages.get("final")
    if not final or not final["grad_norms"]:
        return ()
    steps = tuple(int(h["step"]) for h in final["history"])
    norms = {name: tuple(v) for name, v in final["grad_norms"].items() if len(v) == len(steps)}
    return (GradientNorms(stage="final", steps=steps, norms=norms),)


def _report_data(run: Run, base: Engine, found: Findings) -> ReportData:
    errors = {m: np.abs(p - run.data.truth) for m, p in found.points.items()}
    resolved = run.recipe.model_dump(mode="json")
    return ReportData(
        loss_curves=tuple(_curve(n, f) for n, f in found.stages.items() if f.get("history")),
        grid=_grid(found),
        contexts=_contexts(run, base, found),
        selected_by=run.recipe.select,
        reasons=tuple(
            f"{part.replace('_', ' ')}: {choice['reason']}"
            for part, choice in found.choices.items()
        ),
        val_mae_of=_val_mae_of(run),
        gradient_norms=_norms(found),
        examples=_examples(run, found),
        running_error={m: tuple(np.nanmean(e, axis=(0, 2)).tolist()) for m, e in errors.items()},
        series_mae={m: tuple(np.nanmean(e, axis=(1, 2)).tolist()) for m, e in errors.items()},
        ledger=tuple(
            LedgerEntry(
                time=e.updated,
                stage=e.stage.split(".")[0],
                kind=e.kind,
                flops=e.settled_flops,
            )
            for e in run.ledger.entries()
            if e.settled_flops is not None
        ),
        recipe=yaml.safe_dump(resolved, sort_keys=False),
        config={**resolved, "chosen": found.chosen},
    )


def assemble(
    run: Run,
    base: Engine,
    found: Findings,
    *,
    versions: dict[str, str],
    created: dt.datetime,
    seconds: float,
) -> StudyResult:
    """Write result.json and report_data.json; returns the result.

    Raises:
        StorageError: they cannot be written.
    """
    out, ledger = run.workspace.out, run.ledger
    test = {name: MethodResult.model_validate(row) for name, row in found.rows.items()}
    verdict = make_verdict(test, evaluated_on=run.data.info.evaluated_on)
    if found.stopped:
        verdict = f"The study is not finished: {found.stopped}\n{verdict}"
    stages = [_stage(name, facts, "") for name, facts in found.stages.items()]
    if found.stopped:
        stages.append(_stage("stopped", {}, found.stopped))
    result = StudyResult(
        created=created,
        versions=versions,
        machine=_machine(run, base, found),
        seed=run.recipe.seed,
        data=run.data.info,
        model=_model_info(run, base, found),
        budget=BudgetInfo(
            convention=ledger.convention,
            limit_flops=ledger.limit_flops,
            spent_flops=ledger.spent_flops,
            repeated_flops=ledger.repeated_flops,
            by_stage=_by_top(ledger.by_stage()),
            by_kind=ledger.by_kind(),
        ),
        stages=tuple(stages),
        test=test,
        verdict=verdict,
        details={
            "seconds_of_this_run": seconds,
            "chosen": found.chosen,
            "choices": dict(found.choices),
        },
    )
    write_report_data(_report_data(run, base, found), out / "report_data.json")
    write_result(result, out / "result.json")
    return result
