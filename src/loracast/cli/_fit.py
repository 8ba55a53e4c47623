"""`loracast fit`: adapt the base to the series of a file, within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from loracast.cli._options import (
    AsJson,
    CodecName,
    File,
    IdCol,
    Seed,
    Sort,
    TargetCols,
    TimeCol,
    panel_of,
    split_names,
    whole,
)
from loracast.cli._output import print_json
from loracast.cli._progress import Watcher
from loracast.flops import format_flops, parse_flops

__all__ = ["fit"]


def fit(
    file: File,
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write the adapter and its ledger to.")
    ],
    budget: Annotated[
        str,
        typer.Option("--budget", help="FLOPs for training and validation, such as 1e13 or 10TF."),
    ] = "1e13",
    model: Annotated[
        str, typer.Option("--model", help="Base model: embedded, a folder or a hub id.")
    ] = "embedded",
    codec: CodecName = None,
    seed: Seed = 0,
    max_steps: Annotated[
        int, typer.Option("--max-steps", help="Most optimiser steps to take.")
    ] = 300,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Peak learning rate. Default: 0.001.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Number of windows in a training step. Default: 8."),
    ] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", help="Rank of the LoRA. Default: 16.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            help="Projections to adapt, separated by commas, such as q,v. Default: all.",
        ),
    ] = None,
    id_col: IdCol = None,
    time_col: TimeCol = None,
    target_cols: TargetCols = None,
    sort: Sort = False,
    as_json: AsJson = False,
) -> None:
    """Fit a LoRA adapter; the same command goes on where a killed one stopped."""
    whole("--max-steps", max_steps)
    whole("--seed", seed, 0)
    parse_flops(budget)
    panel = panel_of(file, id_col, time_col, target_cols, sort)
    panel.require_length(2, "training")
    training: dict[str, Any] = {"learning_rate": learning_rate, "batch_size": batch_size}
    names = split_names(targets)
    adapter: dict[str, Any] = {
        "rank": rank,
        "alpha": None if rank is None else 2.0 * rank,
        "targets": "all" if names == ["all"] else names,
    }

    from loracast.forecasting import Forecaster

    forecaster = Forecaster.from_pretrained(model, codec, seed=seed)
    with Watcher() as watcher:
        forecaster.fit(
            panel,
            budget,
            adapter={k: v for k, v in adapter.items() if v is not None},
            training={k: v for k, v in training.items() if v is not None},
            max_steps=max_steps,
            out=out,
            progress=watcher.trained,
        )
    report = forecaster.fit_report
    assert report is not None
    result = report.training
    facts = {
        "adapter": str(out / "adapter"),
        "steps": result.steps,
        "stopped": result.stopped,
        "train_loss": result.history[-1]["train_loss"] if result.history else None,
        "val_loss": result.best_val_loss,
        "best_step": result.best_step,
        "held_out": report.held_out,
        "n_train": report.n_train,
        "n_validation": report.n_validation,
        "window_steps": report.plan.window_steps,
        "flops": report.flops,
        "repeated_flops": report.repeated_flops,
        "limit_flops": report.limit_flops,
        "seconds": report.seconds,
        "precision": result.precision,
        "machine": report.machine,
    }
    if as_json:
        print_json(facts)
        return
    validation = (
        "no validation"
        if result.best_val_loss is None
        else f"validation loss {result.best_val_loss:.3f} at step {result.best_step} "
        f"({report.held_out} held out)"
    )
    again = (
        f"of these, {format_flops(report.repeated_flops)} ran again after an interruption\n"
        if report.repeated_flops
        else ""
    )
    typer.echo(
        f"{result.steps} steps on {report.n_train} series in windows of "
        f"{report.plan.window_steps} steps; {validation}\n"
        f"{format_flops(report.flops)} of {format_flops(report.limit_flops)}, "
        f"{report.seconds:.0f} s\n{again}"
        f"adapter: {facts['adapter']} (use it: loracast forecast FILE --adapter {out})"
    )
