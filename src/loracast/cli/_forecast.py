"""`loracast forecast`: the future of every series in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loracast.cli._options import (
    AsJson,
    Budget,
    CodecName,
    File,
    IdCol,
    LedgerAt,
    LedgerName,
    Seed,
    Sort,
    Strict,
    TargetCols,
    TimeCol,
    ledger_at,
    panel_of,
    whole,
)
from loracast.cli._output import FRAME_SUFFIXES, check_target, print_json, write_frame
from loracast.cli._progress import Watcher
from loracast.errors import ConfigError
from loracast.files import write_whole
from loracast.flops import format_flops

__all__ = ["forecast"]

PLOT_SUFFIXES = (".png", ".svg", ".pdf")


def forecast(
    file: File,
    horizon: Annotated[int, typer.Option("--horizon", help="Number of steps to forecast.")],
    level: Annotated[
        list[float] | None,
        typer.Option(
            "--level",
            help="Level of a prediction interval in percent; may be repeated. Default: 80.",
        ),
    ] = None,
    quantile: Annotated[
        list[float] | None,
        typer.Option("--quantile", help="Quantile to add, such as 0.1; may be repeated."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            help="Number of sampled paths of each series. Default: 20, or more where a "
            "level needs them.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Base model: embedded, a folder or a hub id.")
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="Folder of a fit or study whose adapter forecasts."),
    ] = None,
    codec: CodecName = None,
    seed: Seed = 0,
    id_col: IdCol = None,
    time_col: TimeCol = None,
    target_cols: TargetCols = None,
    sort: Sort = False,
    strict: Strict = False,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            help="Number of last steps that the model is shown. Default: 160, or 440 tokens "
            "of digits.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Forecast even with a codec that the base was never trained on."
        ),
    ] = False,
    budget: Budget = None,
    ledger: LedgerAt = None,
    ledger_name: LedgerName = "default",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write instead of stdout (.csv or .parquet)."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Picture of the first series to write (.png, .svg or .pdf)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every series of a file, with intervals; CSV on stdout."""
    check_target(out, FRAME_SUFFIXES, "--out")
    check_target(plot, PLOT_SUFFIXES, "--plot")
    whole("--horizon", horizon)
    if samples is not None:
        whole("--samples", samples)
    whole("--seed", seed, 0)
    if adapter is not None and codec is not None:
        raise ConfigError("got --adapter and --codec; an adapter brings its own codec: drop one")
    panel = panel_of(file, id_col, time_col, target_cols, sort, strict)

    from loracast.forecasting import (
        Forecaster,
        check_levels,
        check_quantiles,
        check_size,
        draw_forecast,
        enough_samples,
        frame_of_samples,
    )
    from loracast.series import facts_of_skipped, note_of_skipped, usable_series

    levels, shares = check_levels(level or [80.0]), check_quantiles(quantile or [])
    samples = enough_samples(samples, levels, shares)
    check_size(len(panel), samples, horizon, panel.n_channels)
    usable_series(panel, strict=strict)  # before a model is loaded
    if adapter is None:
        forecaster = Forecaster.from_pretrained(model or "embedded", codec, seed=seed)
    else:
        forecaster = Forecaster.load(adapter, model=model)
        forecaster.seed = seed
    panel, skipped = forecaster.usable(panel, context, strict=strict)
    with ledger_at(ledger, ledger_name) as charged, Watcher() as watcher:
        watcher.stage("forecast", len(panel) * samples * horizon)
        drawn = forecaster.sample(
            horizon,
            panel,
            n_samples=samples,
            context=context,
            budget=budget,
            ledger=charged,
            progress=watcher.advance,
            force=force,
        )
    frame = frame_of_samples(panel, drawn, levels, shares)
    if plot is not None:
        figure = draw_forecast(
            panel.select([0]).steps(-max(200, 3 * horizon), None), drawn[0], levels
        )
        write_whole(plot, lambda to: figure.savefig(to, dpi=120))
    report = forecaster.forecast_report
    assert report is not None
    facts = {
        "n_series": report.n_series,
        "horizon": horizon,
        "samples": samples,
        "model": forecaster.engine.backbone.name,
        "adapter": None if adapter is None else str(adapter),
        "codec": forecaster.engine.codec.name,
        "seed": seed,
        "flops": report.flops,
        "seconds": report.seconds,
        "held_paths": report.held_paths,
        "skipped": facts_of_skipped(skipped),
        "notes": list(report.notes),
    }
    if out is not None:
        write_frame(frame, out)
    if as_json:
        rows = [] if out is not None else frame.to_dict(orient="records")
        print_json(facts | ({"out": str(out)} if out is not None else {"forecast": rows}))
    elif out is None:
        typer.echo(frame.to_csv(index=False), nl=False)
    for note in (note_of_skipped(skipped, len(panel) + len(skipped)), *report.notes):
        if note:
            typer.echo(f"note: {note}", err=True)
    typer.echo(
        f"{report.n_series} series, {horizon} steps, {samples} samples each by "
        f"{facts['model']} {'zero-shot' if adapter is None else f'with {adapter}'} "
        f"(codec {facts['codec']}): {format_flops(report.flops)}, {report.seconds:.1f} s"
        + ("" if out is None else f"; written to {out}"),
        err=True,
    )
