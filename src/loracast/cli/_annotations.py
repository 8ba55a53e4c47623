"""`loracast annotations`: make labelled series, read them from elsewhere, audit their labels.

The commands that train and evaluate an annotator join the same `app` from a module of their own.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loracast.cli._annotations_show import report_rows, show_audit, show_plan
from loracast.cli._annotations_train import evaluate, train
from loracast.cli._label_studio import check_config, write_config
from loracast.cli._options import AsJson, Seed, at_most, split_names, whole
from loracast.cli._output import check_apart, check_target, print_json
from loracast.errors import AnnotationError, ConfigError
from loracast.files import write_whole

if TYPE_CHECKING:
    from loracast.annotation import (
        Agreement,
        AnnotatedSeries,
        RuleTeacher,
        ServerConfig,
        Teacher,
        TeacherLabel,
    )

__all__ = ["app"]

LINES = (".jsonl",)
TEACHERS = ("latents", "published", "robust", "openai")
RULES = ("published", "robust")
FORMATS = {"loracast": LINES, "published": LINES, "label-studio": (".json",)}

app = typer.Typer(
    help="Generate, import and audit labelled series; train and evaluate an annotator.",
    no_args_is_help=True,
)
app.command("train")(train)
app.command("evaluate")(evaluate)

Labelled = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="File of labelled series: loracast or published JSON lines, or a Label Studio export.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
Form = Annotated[
    str, typer.Option("--format", help=f"Format of the file to write: {', '.join(FORMATS)}.")
]
Agree = Annotated[
    str | None,
    typer.Option(
        "--agree",
        help="Fields in which teacher and rules have to agree, such as trend,noise; or none.",
    ),
]


@app.command("generate")
def generate(
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    n: Annotated[int, typer.Option("--n", help="Number of series to generate.")] = 1000,
    seed: Seed = 0,
    families: Annotated[
        str | None,
        typer.Option(
            "--families",
            help="Families of series to generate, separated by commas. Default: all.",
        ),
    ] = None,
    min_length: Annotated[
        int, typer.Option("--min-length", help="Number of points of the shortest series.")
    ] = 32,
    max_length: Annotated[
        int, typer.Option("--max-length", help="Number of points of the longest series.")
    ] = 1024,
    teacher: Annotated[
        str,
        typer.Option("--teacher", help=f"Teacher that labels the series: {', '.join(TEACHERS)}."),
    ] = "latents",
    rule: Annotated[
        str,
        typer.Option(
            "--rules",
            help="What the teacher's labels are checked against: latents, published or robust.",
        ),
    ] = "latents",
    agree: Agree = None,
    rejected: Annotated[
        Path | None,
        typer.Option(
            "--rejected", help="File to write rejected series to. Default: OUT.rejected.jsonl."
        ),
    ] = None,
    form: Form = "loracast",
    model: Annotated[
        str | None, typer.Option("--model", help="Name of the server's model.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", help="Address of the server, such as http://host/v1."),
    ] = None,
    picture: Annotated[
        bool,
        typer.Option(
            "--picture", help="Also send a line chart of each series, for models that read images."
        ),
    ] = False,
    answer_tokens: Annotated[
        int, typer.Option("--answer-tokens", help="Most tokens of one answer.")
    ] = 512,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="Most tokens to spend, prompts and answers together."),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", help="Most money to spend; needs --price-in and --price-out."),
    ] = None,
    price_in: Annotated[
        float, typer.Option("--price-in", help="Price of a million tokens of prompts.")
    ] = 0.0,
    price_out: Annotated[
        float, typer.Option("--price-out", help="Price of a million tokens of answers.")
    ] = 0.0,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Folder that keeps the server's answers, so that none is paid twice.  "
            "Default: OUT.cache.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Most requests at the same time.")] = 4,
    tries: Annotated[int, typer.Option("--tries", help="Most attempts at one question.")] = 5,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for one answer.")
    ] = 120.0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what the server would be asked and what it would cost, and ask nothing.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Series with known latents, labelled by a teacher; kept where teacher and rule agree.

    The key of a server is read from the environment variable OPENAI_API_KEY.
    """
    _check_form(out, form)
    whole("--n", n)
    at_most("--n", n, 1_000_000, "they are held in memory until all are labelled")
    whole("--seed", seed, 0)
    _one_of("--teacher", teacher, TEACHERS)
    _one_of("--rules", rule, ("latents", *RULES))
    if teacher != "openai" and (model or base_url or dry_run):
        raise ConfigError("got --model, --base-url or --dry-run without --teacher openai")
    if teacher == "openai" and not model:
        raise ConfigError("got --teacher openai without a model; name it with --model")
    fields = _agreed(agree)
    log = rejected or out.with_name(f"{out.name}.rejected.jsonl")
    check_target(log, LINES, "--rejected")
    answers = cache or out.with_name(f"{out.name}.cache")
    bought = {"--cache": answers} if teacher == "openai" else {}
    check_apart({"--out": out, **bought, "--rejected": log})
    names = split_names(families)
    if form == "label-studio":
        check_config(out, timestamps=False)

    from loracast.annotation import (
        LatentTeacher,
        OpenAITeacher,
        Prices,
        ServerConfig,
        generate_labelled,
    )
    from loracast.cli._progress import Watcher

    config: ServerConfig | None = None
    if model is not None:
        config = ServerConfig(
            model=model,
            base_url=base_url,
            picture=picture,
            seed=seed,
            answer_tokens=answer_tokens,
            max_tokens=max_tokens,
            max_cost=max_cost,
            prices=Prices(price_in, price_out),
            cache=answers,
            workers=workers,
            tries=tries,
            timeout=timeout,
        )
    with Watcher() as watcher:
        watcher.stage("generate", n)
        items = generate_labelled(
            n, seed, families=names, lengths=(min_length, max_length), advance=watcher.advance
        )
        who: Teacher = LatentTeacher()
        if config is not None:
            who = server = OpenAITeacher(config, watcher.advance)
            if dry_run:
                show_plan(server, items, as_json)
                return
        elif teacher != "latents":
            who = _rule_teacher(teacher, watcher.advance)
        watcher.stage(f"ask {who.name}", n)
        labels = who.describe(items)
        if teacher == rule:
            fields, ruled = (), labels
        else:
            watcher.stage(f"check by {rule}", n)
            judge = LatentTeacher() if rule == "latents" else _rule_teacher(rule, watcher.advance)
            ruled = judge.describe(items)
    result = _filtered(items, labels, ruled, fields, who.name, rule)
    summary = _write(result, out, form, log if fields or teacher != "latents" else None, n)
    if config is not None:
        summary["teacher"] = asdict(server.stats)
    report_rows(summary, as_json)


@app.command("import")
def import_(
    file: Labelled,
    out: Out,
    form: Form = "loracast",
    agree: Annotated[
        str | None,
        typer.Option(
            "--agree",
            help="Fields in which the labels have to agree with the rules, such as "
            "trend,noise. Default: none.",
        ),
    ] = None,
    rules: Annotated[
        str, typer.Option("--rules", help=f"Rules that --agree compares with: {', '.join(RULES)}.")
    ] = "published",
    rejected: Annotated[
        Path | None,
        typer.Option(
            "--rejected", help="File to write rejected series to. Default: OUT.rejected.jsonl."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read labelled series of any known format, and write them in one of ours."""
    _check_form(out, form)
    _one_of("--rules", rules, RULES)
    fields = () if agree is None else _agreed(agree)
    log = rejected or out.with_name(f"{out.name}.rejected.jsonl")
    check_target(log, LINES, "--rejected")
    check_apart({"FILE": file, "--rejected": log})
    check_apart({"--out": out, "--rejected": log})

    from loracast.annotation import Agreement, LatentTeacher, read_labelled
    from loracast.cli._progress import Watcher

    records = read_labelled(file)
    if fields:
        with Watcher() as watcher:
            watcher.stage(f"check by {rules}", len(records))
            ruled = _rule_teacher(rules, watcher.advance).describe(records)
        labels = LatentTeacher().describe(records)
        result = _filtered(records, labels, ruled, fields, "file", rules, fill=False)
    else:
        result = Agreement(tuple(records), ())
    summary = _write(result, out, form, log if fields else None, len(records))
    report_rows(summary, as_json)


@app.command("audit")
def audit(
    file: Labelled,
    rules: Annotated[
        str, typer.Option("--rules", help=f"Rules to compare with: {', '.join(RULES)}.")
    ] = "published",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """How far a labelled set agrees with its rules, by field, and the rows to look at."""
    _one_of("--rules", rules, RULES)
    whole("--seed", seed, 0)

    from loracast.annotation import audit_labels, read_labelled
    from loracast.cli._progress import Watcher

    records = read_labelled(file)
    with Watcher() as watcher:
        watcher.stage(f"read by {rules}", len(records))
        found = audit_labels(records, rules, seed=seed, advance=watcher.advance)
    if as_json:
        print_json({"file": str(file), **found})
    else:
        show_audit(file, found)


def _check_form(out: Path, form: str) -> None:
    _one_of("--format", form, tuple(FORMATS))
    check_target(out, FORMATS[form], "--out")


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"got {option} {value!r}; expected one of {', '.join(known)}")


def _agreed(text: str | None) -> tuple[str, ...]:
    from loracast.annotation import LABEL_FIELDS

    if text is None:
        return LABEL_FIELDS
    names = [] if text == "none" else split_names(text) or []
    unknown = [name for name in names if name not in LABEL_FIELDS]
    if unknown:
        raise ConfigError(
            f"got --agree {text!r}; expected none, or some of {', '.join(LABEL_FIELDS)}"
        )
    return tuple(names)


def _rule_teacher(rules: str, advance: Any) -> RuleTeacher:
    from loracast.annotation import RuleTeacher

    return RuleTeacher(rules, advance)


def _filtered(
    items: list[AnnotatedSeries],
    labels: list[TeacherLabel],
    ruled: list[TeacherLabel],
    fields: tuple[str, ...],
    teacher: str,
    rule: str,
    fill: bool = True,
) -> Agreement:
    from loracast.annotation import filter_agreement

    return filter_agreement(items, labels, ruled, fields, teacher=teacher, rule=rule, fill=fill)


def _write(result: Agreement, out: Path, form: str, log: Path | None, n: int) -> dict[str, Any]:
    from loracast.annotation import write_labelled, write_rejections

    if log is not None:
        write_whole(log, lambda to: write_rejections(to, result.rejections))
    if not result.kept:
        first = f"; the first reason: {result.rejections[0].reason}" if result.rejections else ""
        cap = f"; {result.not_asked} not asked because of a cap" if result.not_asked else ""
        raise AnnotationError(f"none of {n} rows was kept, so {out} was not written{cap}{first}")
    timed = any(isinstance(t, str) for record in result.kept for t in record.index or ())
    if form == "label-studio":
        check_config(out, timed)
    write_whole(out, lambda to: write_labelled(to, result.kept, form))
    if form == "label-studio":
        typer.echo(f"labeling configuration: {write_config(out, timed)}", err=True)
    return {
        "file": str(out),
        "rows": n,
        "kept": len(result.kept),
        "rejected": result.rows_rejected,
        "rejected_by_field": result.by_field,
        "not_asked": result.not_asked,
        "rejections": None if log is None else str(log),
    }
