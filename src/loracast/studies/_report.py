"""`report.html`: one self-contained page from `result.json` and `report_data.json`.

Computes nothing new: it ranks, formats and draws what the study left. A part that was not run is
named as such. Everything that came from outside is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loracast.evaluation import ADAPTED, METHODS, METRICS, Metric
from loracast.studies import _figures_run as run_figures
from loracast.studies import _figures_scores as score_figures
from loracast.studies._drawing import format_amount, format_value
from loracast.studies._figures_scores import label_of
from loracast.studies._report_data import GridCell, ReportData, read_report_data
from loracast.studies._schema import (
    MethodResult,
    Scores,
    StudyResult,
    read_result,
    write_text_atomically,
)

__all__ = ["render_report", "write_report"]


def write_report(out_dir: str | Path) -> Path:
    """Write OUT/report.html from OUT/result.json and, where it exists, OUT/report_data.json.

    Args:
        out_dir: the study's folder.

    Returns:
        The page's path.

    Raises:
        StorageError: no or broken `result.json`, broken `report_data.json`, or a folder that
            cannot be written; an older page is left as it was.
    """
    out = Path(out_dir)
    result = read_result(out / "result.json")
    path = out / "report_data.json"
    data = read_report_data(path) if path.exists() else ReportData()
    return write_text_atomically(out / "report.html", render_report(result, data))


def render_report(result: StudyResult, data: ReportData) -> str:
    """The page as text; deterministic for the same input."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        value=format_value,
        flops=lambda amount: format_amount(amount, "FLOPs"),
        duration=_duration,
        percent=lambda share: "–" if share is None else f"{100 * share:.1f} %",
        pretty=lambda content: json.dumps(content, indent=2, ensure_ascii=False),
    )
    horizons = sorted({h for method in result.test.values() for h in method.horizons})
    lines = result.verdict.splitlines() or ["No verdict was recorded."]
    return environment.get_template("_report_template.html").render(
        result=result,
        data=data,
        headline=_unbroken(lines[0]),
        verdict=[_unbroken(line) for line in lines[1:]],
        # the recorded words decide: the page never judges anew
        tone=_tone(lines[0]),
        tiles=_tiles(result),
        table=_score_table(result.test, ("mae",), horizons),
        full_tables=[_score_table(result.test, tuple(METRICS), [h]) for h in horizons],
        legend=_legend(),
        grid=_grid_table(data.grid),
        choice_note=_choice_note(data),
        contexts_mae=any(row.val_mae is not None for row in data.contexts),
        figures=_figures(result, data),
        label_of=label_of,
        data_name=_data_name(result),
    )


def _figures(result: StudyResult, data: ReportData) -> dict[str, str | None]:
    """Name -> inline SVG, None where there is nothing to draw. All text in it is escaped."""
    unit, limit = data.value_unit, result.budget.limit_flops
    mae = {m: {h: s.mae for h, s in r.horizons.items()} for m, r in result.test.items()}
    return {
        "methods": score_figures.methods_figure("methods", mae, unit),
        "examples": score_figures.examples_figure("examples", data.examples, unit),
        "steps": score_figures.error_by_step_figure("steps", data.running_error, unit),
        "series": score_figures.series_figure("series", data.series_mae, unit),
        "loss": run_figures.loss_figure("loss", data.loss_curves),
        "stages": run_figures.stages_figure("stages", result.budget.by_stage, data.ledger, limit),
        "burn": run_figures.burn_down_figure("burn", data.ledger, limit),
        "gradients": run_figures.gradients_figure("gradients", data.gradient_norms[-1])
        if data.gradient_norms
        else None,
    }


def _score_table(
    test: Mapping[str, MethodResult], metrics: Sequence[str], horizons: Sequence[int]
) -> dict[str, Any]:
    """Column titles and rows with a text per cell, the best of each column marked.

    Rows are sorted by MAE at the longest horizon; methods without scores come last.
    """
    shown = [
        metric
        for metric in metrics
        if any(getattr(s, metric) is not None for r in test.values() for s in r.horizons.values())
    ]

    def score(method: str, horizon: int, metric: str) -> float | None:
        value: float | None = getattr(test[method].horizons.get(horizon, Scores()), metric)
        return value

    def by_longest(method: str) -> tuple[bool, float]:
        value = score(method, horizons[-1], "mae") if horizons else None
        return value is None, value or 0.0

    best = {}
    for horizon in horizons:
        for metric in shown:
            values = [v for m in test if (v := score(m, horizon, metric)) is not None]
            best[horizon, metric] = METRICS[metric].best(values)

    rows = []
    for method in sorted(test, key=by_longest):
        cells = []
        for horizon in horizons:
            for metric in shown:
                value = score(method, horizon, metric)
                cells.append(
                    {
                        "text": _score_text(METRICS[metric], value),
                        "best": value is not None and value == best[horizon, metric],
                    }
                )
        rows.append(
            {
                "method": method,
                "hint": METHODS[method].hint if method in METHODS else "",
                "cells": cells,
                "result": test[method],
            }
        )
    titles = [
        f"{METRICS[m].label}, {h} steps" if len(horizons) > 1 else METRICS[m].label
        for h in horizons
        for m in shown
    ]
    return {"horizons": horizons, "titles": titles, "rows": rows}


def _score_text(metric: Metric, value: float | None) -> str:
    """A score with its unit; a share is shown in percent."""
    if value is None:
        return "–"
    if metric.unit == "share":
        return f"{100 * value:.1f} %"
    return f"{format_value(value)} %" if metric.unit == "percent" else format_value(value)


def _legend() -> str:
    """What the metrics are that not every reader knows, and how the best of one is found."""
    said = [f"{m.label} is {m.meaning}" for m in METRICS.values() if m.meaning]
    said.append("scores are means over all series unless they say median")
    for metric in METRICS.values():
        if isinstance(metric.better, float):
            target = _score_text(metric, metric.better)
            said.append(f"of the {metric.label} the nearest to {target} is marked")
    return "; ".join(said) + "."


def _tone(headline: str) -> str:
    """Whether a headline tells of a win; what is unfinished or undecided is none."""
    lost = " loses to " in headline and " none " not in headline
    open_ = "not finished" in headline or "o verdict:" in headline
    return "lost" if lost or open_ else "won"


def _tiles(result: StudyResult) -> list[dict[str, str]]:
    """The few figures a reader looks for first."""
    tiles = []
    adapted = result.test.get(ADAPTED.name)
    for horizon, scores in adapted.horizons.items() if adapted else ():
        if scores.mae is None:
            continue
        others = [r.horizons[horizon].mae for r in result.test.values() if horizon in r.horizons]
        known = [v for v in others if v is not None]
        place = 1 + sum(v < scores.mae for v in known)
        tiles.append(
            {
                "value": format_value(scores.mae),
                "name": f"MAE, {horizon} steps ahead",
                "note": f"place {place} of {len(known)}",
            }
        )
    budget = result.budget
    share = budget.spent_flops / budget.limit_flops if budget.limit_flops else None
    tiles.append(
        {
            "value": format_amount(budget.spent_flops, "FLOPs"),
            "name": f"spent of {format_amount(budget.limit_flops, 'FLOPs')}",
            "note": "" if share is None else f"{100 * share:.1f} % of the limit",
        }
    )
    return tiles


def _grid_table(cells: tuple[GridCell, ...]) -> dict[str, Any] | None:
    """Rank by learning rate, each cell with its error and a shade from best (0) to worst (1).

    The error is the validation MAE, or the loss where no cell has an MAE. Without two values to
    compare nothing is shaded, and the caption claims nothing of it.
    """
    if not cells:
        return None
    by_mae = any(c.val_mae is not None for c in cells)

    def judged(cell: GridCell) -> float | None:
        return cell.val_mae if by_mae else cell.val_loss

    rates, ranks = sorted({c.lr for c in cells}), sorted({c.rank for c in cells})
    by_place = {(c.rank, c.lr): c for c in cells}
    errors = sorted(e for c in cells if (e := judged(c)) is not None)
    shaded = len(set(errors)) > 1
    rows = []
    for rank in ranks:
        row: list[dict[str, Any] | None] = []
        for rate in rates:
            cell = by_place.get((rank, rate))
            if cell is None:
                row.append(None)
                continue
            shade, error = 1.0, judged(cell)
            if error is not None and shaded:
                shade = sum(e < error for e in errors) / (len(errors) - 1)
            below = f"loss {format_value(cell.val_loss)}" if by_mae else ""
            text = format_value(error)
            row.append({"cell": cell, "shade": round(shade, 3), "text": text, "below": below})
        rows.append({"rank": rank, "cells": row})
    said = ["Validation MAE, the loss below it" if by_mae else "Validation loss"]
    if shaded:
        said.append("darker is better")
    if any(c.chosen for c in cells):
        said.append("the frame marks the choice")
    if len(errors) < len(cells):
        said.append("– where there is no value")
    caption = "; ".join([said[0], ", ".join(said[1:])] if said[1:] else said) + "."
    return {"rates": [f"{rate:g}" for rate in rates], "rows": rows, "caption": caption}


def _choice_note(data: ReportData) -> str:
    """What the choices were made by, and what the validation MAE was taken on."""
    said = []
    if data.selected_by and (data.grid or data.contexts):
        by = "validation MAE" if data.selected_by == "val_mae" else "validation loss"
        said.append(f"Chosen by {by}.")
        said += [f"{reason[0].upper()}{reason[1:]}." for reason in data.reasons]
    values = [cell.val_mae for cell in data.grid] + [row.val_mae for row in data.contexts]
    if data.val_mae_of and any(value is not None for value in values):
        said.append(f"Validation MAE: {data.val_mae_of}, in {data.value_unit}.")
    return " ".join(said)


def _data_name(result: StudyResult) -> str:
    """What the title calls the data: the file's name, or the generator's."""
    if result.data.path:
        return Path(result.data.path).name
    name = (result.data.generator or {}).get("name")
    return str(name) if name else "generated data"


def _unbroken(text: str) -> str:
    """Keep a number and its percent sign on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _duration(seconds: float | None) -> str:
    """Seconds for people: 0.42 s, 12.3 s, 4 min 05 s, 2 h 07 min."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
