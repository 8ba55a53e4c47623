"""From what the stages found to result.json and report_data.json; decides nothing."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import yaml

from loracast.backbone import EMBEDDED_DIR
from loracast.evaluation import resolves
from loracast.forecasting import sample_quantiles
from loracast.studies._facts import StageId
from loracast.studies._report_data import (
    ExampleForecast,
    ReportData,
    SpentBlock,
    write_report_data,
)
from loracast.studies._schema import (
    BudgetInfo,
    MachineInfo,
    ModelInfo,
    StageResult,
    StudyResult,
    make_verdict,
    write_result,
)
from loracast.studies._stage import Contribution, Stage
from loracast.studies._state import Findings, Run
from loracast.studies._validation import validation_forecasts
from loracast.training import machine_facts, resolved_precision

__all__ = ["assemble"]

_REGIMES = ("oscillatory", "decaying", "growing", "stable")


def _by_group(amounts: Mapping[str, float]) -> dict[str, float]:
    """'grid.lr=0.001,r=8' belongs to 'grid'."""
    total: dict[str, float] = {}
    for name, amount in amounts.items():
        group = StageId.read(name).group
        total[group] = total.get(group, 0.0) + amount
    return total


def _pretraining_flops(model: str) -> float | None:
    card = EMBEDDED_DIR / "pretrain.json"
    if model != "embedded" or not card.is_file():
        return None
    return float(json.loads(card.read_text())["result"]["flops"])


def _model_info(run: Run, found: Findings) -> ModelInfo:
    base = run.base
    final = found.trained.get(StageId("final")) or found.trained.get(StageId("default"))
    return ModelInfo(
        name=run.recipe.model,
        base_hash=base.backbone.base_sha256,
        n_parameters=sum(p.numel() for p in base.backbone.model.parameters()),
        n_trainable=final.n_trainable if final else None,
        vocab_kept=len(base.backbone.vocabulary.kept),
        codec=run.codec,
        adapter=final.config.adapter.model_dump(mode="json") if final else {},
        architecture=asdict(base.model.architecture),
        pretraining_flops=_pretraining_flops(run.recipe.model),
    )


def _machine(run: Run, found: Findings) -> MachineInfo:
    """This one, and the precision of the last stage that was trained."""
    taken = [facts.config.precision for facts in found.trained.values()]
    device = next(run.base.backbone.model.parameters()).device
    wanted = resolved_precision(run.recipe.training.precision, device)
    precision = next((p for p in reversed(taken) if p), wanted)
    return MachineInfo(precision=precision, **machine_facts())


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
    made = found.forecasts.get(StageId("test")) or found.forecasts.get(StageId("zero_shot"))
    if made is None:
        return ()
    samples = made.samples
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


def _report_data(run: Run, found: Findings, told: Sequence[Contribution]) -> ReportData:
    errors = {m: np.abs(p - run.data.truth) for part in told for m, p in part.points.items()}
    resolved = run.recipe.model_dump(mode="json")
    pages = [part.page for part in told]
    return ReportData(
        loss_curves=tuple(curve for page in pages for curve in page.loss_curves),
        grid=tuple(cell for page in pages for cell in page.grid),
        contexts=tuple(row for page in pages for row in page.contexts),
        selected_by=run.recipe.select,
        reasons=tuple(reason for page in pages for reason in page.reasons),
        val_mae_of=_val_mae_of(run),
        gradient_norms=tuple(norms for page in pages for norms in page.gradient_norms),
        examples=_examples(run, found),
        running_error={m: tuple(np.nanmean(e, axis=(0, 2)).tolist()) for m, e in errors.items()},
        series_mae={m: tuple(np.nanmean(e, axis=(1, 2)).tolist()) for m, e in errors.items()},
        ledger=tuple(
            SpentBlock(
                time=e.updated,
                stage=StageId.read(e.stage).group,
                kind=e.kind,
                flops=e.settled_flops,
            )
            for e in run.ledger.entries()
            if e.settled_flops is not None
        ),
        tables=tuple(table for page in pages for table in page.tables),
        recipe=yaml.safe_dump(resolved, sort_keys=False),
        config={**resolved, "chosen": found.settings.chosen},
    )


def assemble(
    run: Run,
    stages: Sequence[Stage],
    found: Findings,
    *,
    versions: dict[str, str],
    created: dt.datetime,
    seconds: float,
) -> StudyResult:
    """Write result.json and report_data.json from what each stage tells; returns the result.

    Raises:
        StorageError: they cannot be written.
    """
    out, ledger = run.workspace.out, run.ledger
    told = [stage.report(run, found) for stage in stages]
    test = {name: row for part in told for name, row in part.methods.items()}
    verdict = make_verdict(test, evaluated_on=run.data.info.evaluated_on)
    if found.stopped:
        verdict = f"The study is not finished: {found.stopped}\n{verdict}"
    lines = [line for part in told for line in part.stages]
    if found.stopped:
        lines.append(StageResult(name="stopped", status="stopped", note=found.stopped))
    result = StudyResult(
        created=created,
        versions=versions,
        machine=_machine(run, found),
        seed=run.recipe.seed,
        data=run.data.info,
        model=_model_info(run, found),
        budget=BudgetInfo(
            convention=ledger.convention,
            limit_flops=ledger.limit_flops,
            spent_flops=ledger.spent_flops,
            repeated_flops=ledger.repeated_flops,
            by_stage=_by_group(ledger.by_stage()),
            by_kind=ledger.by_kind(),
        ),
        stages=tuple(lines),
        test=test,
        verdict=verdict,
        details={
            "seconds_of_this_run": seconds,
            "chosen": found.settings.chosen,
            "choices": {name: asdict(choice) for name, choice in found.choices.items()},
        },
    )
    write_report_data(_report_data(run, found, told), out / "report_data.json")
    write_result(result, out / "result.json")
    return result
