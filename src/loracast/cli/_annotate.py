"""`loracast annotate`: describe every series of a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._label_studio import check_config, write_config
from loracast.cli._options import (
    Bare,
    Budget,
    File,
    IdCol,
    LedgerAt,
    LedgerName,
    Sort,
    Strict,
    TargetCols,
    TimeCol,
    ledger_at,
    panel_of,
)
from loracast.cli._output import check_target
from loracast.cli._progress import Watcher
from loracast.errors import ConfigError
from loracast.files import write_whole
from loracast.flops import format_flops

if TYPE_CHECKING:
    from loracast.annotation import Annotation
    from loracast.series import Panel

__all__ = ["annotate"]

FORMATS = {"json": (".json",), "csv": (".csv",), "label-studio": (".json",)}
PLOT_SUFFIXES = (".png", ".svg")
PLOTTED = 12  # series in a picture


def annotate(
    file: File,
    form: Annotated[
        str, typer.Option("--format", help=f"Format of the output: {', '.join(FORMATS)}.")
    ] = "json",
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter",
            help="Folder of an annotator. Default: the one that ships with loracast.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Base model: embedded, a folder or a hub id.")
    ] = None,
    bare: Bare = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help="Leave out fields whose confidence is below this value, from 0 to 1.",
        ),
    ] = None,
    lang: Annotated[
        str, typer.Option("--lang", help="Language of the prose: en, fr or zh.")
    ] = "en",
    how: Annotated[
        str,
        typer.Option(
            "--long",
            help="What to do with a series longer than the model reads: refuse or resample.",
        ),
    ] = "refuse",
    max_points: Annotated[
        int | None,
        typer.Option(
            "--max-points", help="Number of points of the longest series that the model is shown."
        ),
    ] = None,
    id_col: IdCol = None,
    time_col: TimeCol = None,
    target_cols: TargetCols = None,
    sort: Sort = False,
    strict: Strict = False,
    value_unit: Annotated[
        str | None, typer.Option("--value-unit", help="Unit of the values, such as kW.")
    ] = None,
    index_unit: Annotated[
        str | None, typer.Option("--index-unit", help="Unit of the time steps, such as hour.")
    ] = None,
    budget: Budget = None,
    ledger: LedgerAt = None,
    ledger_name: LedgerName = "default",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write instead of stdout; label-studio also writes its configuration "
            "beside it (.xml).",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help=f"Picture of the first {PLOTTED} series to write (.png or .svg)."
        ),
    ] = None,
) -> None:
    """Describe every series of a file: trend, noise, extrema, each with its confidence."""
    if form not in FORMATS:
        raise ConfigError(f"got --format {form!r}; expected one of {', '.join(FORMATS)}")
    check_target(out, FORMATS[form], "--out")
    check_target(plot, PLOT_SUFFIXES, "--plot")
    if bare and adapter is not None:
        raise ConfigError("got --bare and --adapter; expected one of them")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"got --threshold {threshold}; expected 0 to 1")
    from loracast.annotation import LANGUAGES

    if lang not in LANGUAGES:
        raise ConfigError(f"got --lang {lang!r}; expected one of {', '.join(LANGUAGES)}")
    panel = panel_of(file, id_col, time_col, target_cols, sort, strict)
    if out is not None and form == "label-studio":
        check_config(out, _has_timestamps(panel))

    from loracast.annotation import Annotator, check_caption_font, plot_annotations
    from loracast.series import note_of_skipped

    if plot is not None:
        check_caption_font(lang)
    annotator = (
        Annotator.from_pretrained(model or "embedded", bare=bare)
        if adapter is None
        else Annotator.load(adapter, model=model)
    )
    with ledger_at(ledger, ledger_name) as charged, Watcher() as watcher:
        watcher.stage("annotate", len(panel))
        made = annotator.annotate(
            panel,
            threshold,
            how=how,
            max_points=max_points,
            budget=budget,
            ledger=charged,
            value_unit=value_unit,
            index_unit=index_unit,
            strict=strict,
            progress=watcher.advance,
        )
    assert annotator.annotation_report is not None
    skipped = annotator.annotation_report.skipped
    if skipped:
        typer.echo(f"note: {note_of_skipped(skipped, len(made) + len(skipped))}", err=True)
        out_of_it = {one.id for one in skipped}
        panel = panel.select([i for i, name in enumerate(panel.ids) if name not in out_of_it])
    _tell(panel, made, form, lang, out)
    written = [] if out is None else [out]
    if out is not None and form == "label-studio":
        written.append(write_config(out, _has_timestamps(panel)))
    if plot is not None:
        write_whole(
            plot,
            lambda to: plot_annotations(
                [v[:, 0] for v in panel.values[:PLOTTED]],
                made[:PLOTTED],
                to,
                index=panel.times[:PLOTTED],
                language=lang,
            ),
        )
    report = annotator.annotation_report
    assert report is not None
    for line in _notes(made, annotator.engine.settings.min_points):
        typer.echo(line, err=True)
    name = annotator.engine.backbone.name
    who = report.annotator if adapter is None else f"{name} with {adapter}"
    typer.echo(
        f"{report.n_series} series by {who}: {format_flops(report.flops)}, {report.seconds:.1f} s"
        + (f"; written to {' and '.join(map(str, written))}" if written else ""),
        err=True,
    )


def _notes(made: Sequence[Annotation], least: int) -> list[str]:
    """What to know of short series, in a line each."""
    said = {
        "short_series": f"fewer known points than the {least} that the annotator learned from; "
        "all but maximum and minimum is less certain than its confidence says",
        "too_short": "too few known points to be judged; the trend is that of the net change, and "
        "of the other fields maximum and minimum alone are told",
    }
    lines = []
    for note, text in said.items():
        names = [a.id for a in made if note in a.notes]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"note: series {names[0]!r}{more}: {text}")
    return lines


def _tell(panel: Panel, made: list[Annotation], form: str, lang: str, out: Path | None) -> None:
    """The answers, onto stdout or into a file."""
    from loracast.annotation import label_studio_task, prose, write_csv

    def write(to: Path) -> None:
        if form == "csv":
            write_csv(to, made, lang)
        else:
            to.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")

    document: list[Any] = []
    if form == "json":
        document = [a.model_dump(mode="json") | {"prose": prose(a, lang)} for a in made]
    elif form == "label-studio":
        document = [label_studio_task(record) for record in _records(panel, made)]
    if out is not None:
        write_whole(out, write)
    elif form == "csv":
        import tempfile

        with tempfile.TemporaryDirectory(prefix="loracast-") as folder:
            write_csv(Path(folder) / "a.csv", made, lang)
            text = (Path(folder) / "a.csv").read_bytes().decode("utf-8").replace("\r\n", "\n")
            typer.echo(text, nl=False)
    else:
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))


def _has_timestamps(panel: Panel) -> bool:
    return any(times.dtype.kind == "M" for times in panel.times)


def _records(panel: Panel, made: list[Annotation]) -> list[Any]:
    import numpy as np

    from loracast.annotation import AnnotatedSeries

    def index(times: np.ndarray) -> tuple[Any, ...]:
        if np.issubdtype(times.dtype, np.datetime64):
            return tuple(str(t) for t in np.datetime_as_string(times, unit="auto"))
        return tuple(times.tolist())

    return [
        AnnotatedSeries(values[:, 0], a.facts(), str(name), index(times), a)
        for name, values, times, a in zip(panel.ids, panel.values, panel.times, made, strict=True)
    ]
