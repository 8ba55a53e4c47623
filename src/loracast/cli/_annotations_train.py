"""`loracast annotations train` and `evaluate`: an annotator from generated series, and its scores.

Functions only; they are registered on the sub-app in `_annotations`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._options import AsJson, Bare, LedgerAt, LedgerName, Seed, ledger_at, whole
from loracast.cli._output import print_json
from loracast.cli._progress import Watcher
from loracast.errors import ConfigError
from loracast.flops import format_flops, parse_flops

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["evaluate", "train"]

FILE_WIDTH = 120  # characters a line where no terminal says how many it has
NAMES = {
    "majority": "majority class",
    "trend_only": "from the true trend alone",
    "published_rules": "published rules",
    "robust_rules": "robust rules",
    "few_shot": "few-shot prompt, untuned",
    "untuned": "untuned base",
    "annotator": "annotator",
}

NumbersAs = Annotated[
    str | None,
    typer.Option(
        "--numbers",
        help="How the model is shown a series: measured, continuous or digits. Default: measured.",
    ),
]


def train(
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write the annotator and its scores to.")
    ],
    budget: Annotated[
        str,
        typer.Option("--budget", help="FLOPs for training and calibration, such as 5e13 or 50TF."),
    ] = "5e13",
    steps: Annotated[
        int | None,
        typer.Option(
            "--max-steps",
            help="Most optimiser steps to take. Default: 2780, or 8 passes over --data.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="File of labelled series to train on. Default: generated series."
        ),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="Folder of an annotator to train further.")
    ] = None,
    seed: Seed = 0,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Base model: embedded, a folder or a hub id. Default: embedded."
        ),
    ] = None,
    numbers: NumbersAs = None,
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            help="Fields to annotate, separated by commas, or labels, or all. Default: labels.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="How to adapt the model: lora, or full to train every weight. Default: lora.",
        ),
    ] = None,
    min_length: Annotated[
        int, typer.Option("--min-length", help="Number of points of the shortest series.")
    ] = 32,
    max_length: Annotated[
        int, typer.Option("--max-length", help="Number of points of the longest series.")
    ] = 1024,
    tested: Annotated[
        int, typer.Option("--test", help="Number of unseen series in a test set.")
    ] = 1000,
    seeds: Annotated[
        int, typer.Option("--test-seeds", help="Number of test sets, each with a seed of its own.")
    ] = 3,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Also score the base without an adapter, and the rules.",
        ),
    ] = True,
    calibration: Annotated[
        int,
        typer.Option(
            "--calibration", help="Number of series kept apart to calibrate the confidences."
        ),
    ] = 512,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            help="Peak learning rate. Default: 0.0008, or 0.001 with --method full.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Number of series in a training step. Default: 8."),
    ] = None,
    ledger: LedgerAt = None,
    ledger_name: LedgerName = "default",
    as_json: AsJson = False,
) -> None:
    """Train an annotator on generated series or on your rows, and score it on unseen ones.

    The same command goes on where a killed one stopped.
    """
    for name, number in (
        ("--max-steps", 1 if steps is None else steps),
        ("--test", tested),
        ("--test-seeds", seeds),
        ("--calibration", calibration),
    ):
        whole(name, number)
    whole("--seed", seed, 0)
    parse_flops(budget)
    _check_lengths(min_length, max_length)
    dials = {"learning_rate": learning_rate, "batch_size": batch_size}

    from loracast.annotation import train_annotator

    with ledger_at(ledger, ledger_name) as charged, Watcher() as watcher:
        result = train_annotator(
            out,
            model=model,
            numbers=numbers,
            fields=None if fields is None else _fields(fields),
            method=method,
            budget=budget,
            max_steps=steps,
            data=data,
            adapter=adapter,
            seed=seed,
            lengths=(min_length, max_length),
            calibration=calibration,
            n_test=tested,
            seeds=range(seeds),
            baselines=baselines,
            training={k: v for k, v in dials.items() if v is not None},
            ledger=charged,
            watcher=watcher,
        )
    if as_json:
        print_json(result)
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=FILE_WIDTH)
    console.print(table_of(result))
    for line in lines_of(result):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"annotator: {out / 'adapter'}\nresult: {out / 'result.json'}", soft_wrap=True)


def _fields(text: str) -> tuple[str, ...]:
    from loracast.annotation import LABEL_FIELDS, SERIES_FIELDS

    names = {"labels": LABEL_FIELDS, "all": SERIES_FIELDS}
    return names.get(text) or tuple(name.strip() for name in text.split(","))


def _check_lengths(shortest: int, longest: int) -> None:
    if not 16 <= shortest <= longest:
        raise ConfigError(
            f"got --min-length {shortest} and --max-length {longest}; expected 16 or more points, "
            "and the longest no shorter"
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def table_of(result: dict[str, Any]) -> Table:
    """Methods by rows; a field's accuracy on all rows and on clear ones, best in bold."""
    from rich.table import Table

    test, fields = result["test"], result["fields"]
    names = [n for n in fields if n in test["methods"]["annotator"]["fields"]]
    title = (
        f"{test['n']} unseen series, {len(test['seeds'])} seeds: accuracy on all rows / clear rows"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("method", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("FLOPs", justify="right", no_wrap=True)
    best = {}
    for name in names:
        for key in ("accuracy", "clear"):
            # The true trend is told to "from the true trend alone": no rival there.
            known = [
                m["fields"][name][key]
                for k, m in test["methods"].items()
                if m["fields"][name][key] is not None and (k, name) != ("trend_only", "trend")
            ]
            best[name, key] = max(known, default=None)
    for method, scores in test["methods"].items():
        cells = [NAMES.get(method, method)]
        if scores["n"] < test["n"]:
            cells[0] += f" ({scores['n']} series)"
        for name in names:
            pair = []
            for key in ("accuracy", "clear"):
                value = scores["fields"][name][key]
                text = _share(value)
                pair.append(f"[bold]{text}[/bold]" if value == best[name, key] else text)
            cells.append(" / ".join(pair))
        cells.append("-" if scores["flops"] is None else f"{scores['flops']:.1e}")
        table.add_row(*cells, style="cyan" if method == "annotator" else None)
    return table


def lines_of(result: dict[str, Any]) -> list[str]:
    """What the table does not say."""
    ours, verdict = result["test"]["methods"]["annotator"], result["verdict"]
    lines = []
    for name, scores in ours["fields"].items():
        spread = ", ".join(_share(v) for v in scores["accuracy_by_seed"])
        text = f"{name}: by seed {spread}; calibration error {_share(scores['ece'])}"
        if "hit_rate" in scores:
            text += (
                f"; place within 5 % of the length {_share(scores['hit_rate'])}, mean error "
                f"{_share(scores['index_error'])}"
            )
        bands = {k: v for k, v in scores["clear_by_length"].items() if v is not None}
        if len(bands) > 1:
            shares = ", ".join(f"{_share(v)} ({k} points)" for k, v in bands.items())
            text += f"; clear rows by length {shares}"
        lines.append(text)
    for name, scores in ours.get("lists", {}).items():
        rivals = [
            f"{NAMES.get(method, method)} {_share(m['lists'][name]['accuracy'])}"
            for method, m in result["test"]["methods"].items()
            if "lists" in m and method != "annotator"
        ]
        lines.append(
            f"{name}: {_share(scores['accuracy'])} right ({', '.join(rivals)}); "
            f"{_share(scores['accuracy_some'])} of the {100 * scores['some']:.0f} % of series that "
            f"have any; calibration error {_share(scores['ece'])}"
        )
    lines.append("max, min: arithmetic; no model is asked where extrema lie")
    lines.append(
        f"valid JSON {100 * ours['valid_json']:.1f} %; annotations whose prose contradicts their "
        f"fields: {ours['contradictions']}"
    )
    if verdict["reached"]:
        lines.append(f"there: {', '.join(verdict['reached'])}")
    for name, reason in verdict["not_yet"].items():
        lines.append(f"not there yet: {name} ({reason})")
    spent = result["budget"]
    lines.append(
        f"{result['training']['steps']} steps, {format_flops(spent['spent_flops'])} for training, "
        f"{format_flops(spent['evaluation_flops'])} for the evaluation, {result['seconds']:.0f} s"
    )
    return lines


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File of labelled series, such as the published rows."),
    ],
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter", help="Folder of an annotator. Default: the one that ships with loracast."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Base model. Default: that of the adapter, or embedded."),
    ] = None,
    bare: Bare = False,
    tune: Annotated[
        int,
        typer.Option(
            "--tune", help="Number of rows to tune on first; the others are the test set."
        ),
    ] = 0,
    seed: Seed = 0,
    rules: Annotated[
        str, typer.Option("--rules", help="Rules to compare with: published or robust.")
    ] = "published",
    budget: Annotated[
        str, typer.Option("--budget", help="FLOPs for tuning, such as 5e12 or 5TF.")
    ] = "5e12",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write the tuned annotator to.")
    ] = None,
    ledger: LedgerAt = None,
    ledger_name: LedgerName = "default",
    as_json: AsJson = False,
) -> None:
    """Agreement of an annotator with the labels of a file, and with a rule engine."""
    whole("--tune", tune, 0)
    whole("--seed", seed, 0)
    parse_flops(budget)
    if rules not in ("published", "robust"):
        raise ConfigError(f"got --rules {rules!r}; expected published or robust")
    if bare and adapter is not None:
        raise ConfigError("got --bare and --adapter; expected one of them")
    if out is not None and not tune:
        raise ConfigError("got --out without --tune; there is nothing to keep")

    from loracast.annotation import evaluate_file

    with ledger_at(ledger, ledger_name) as charged, Watcher() as watcher:
        found = evaluate_file(
            file,
            adapter,
            model=model,
            tune=tune,
            seed=seed,
            rules=rules,
            budget=budget,
            out=out,
            ledger=charged,
            bare=bare,
            progress=watcher.trained,
        )
    if as_json:
        print_json(found)
        return
    from rich.console import Console
    from rich.table import Table

    title = f"{found['n']} rows" + (f", after tuning on {tune} others" if tune else "")
    table = Table(title=title, title_justify="left")
    heads = {
        "gold": "labels",
        "gold_lenient": "labels, lenient",
        "rule": "rules",
        "rule_gold": "rules on labels",
        "majority": "majority",
    }
    for head in ("field", *heads.values()):
        table.add_column(head, justify="left" if head == "field" else "right")
    for name in found["gold"]:
        table.add_row(name, *(_share(found[key][name]) for key in heads))
    Console(highlight=False).print(table)
    typer.echo(f"valid JSON {100 * found['valid_json']:.1f} %")
    tuning = f", {format_flops(found['tuning_flops'])} for the tuning" if tune else ""
    typer.echo(f"{format_flops(found['flops'])} for the answers{tuning}")
    if found["unreadable"]:
        typer.echo(f"left out, constant or too short: {', '.join(found['unreadable'])}")
