"""What `loracast annotations` prints: rows written, the plan of a dry run, an audit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from loracast.cli._output import print_json

if TYPE_CHECKING:
    from loracast.annotation import AnnotatedSeries, OpenAITeacher

__all__ = ["report_rows", "show_audit", "show_plan"]

SHOWN_ROWS = 12


def report_rows(summary: dict[str, Any], as_json: bool) -> None:
    """How many rows were kept, what was rejected, and what a server did."""
    if as_json:
        print_json(summary)
        return
    typer.echo(f"{summary['kept']} of {summary['rows']} rows: {summary['file']}")
    if summary["rejected"]:
        fields = ", ".join(f"{name} {k}" for name, k in summary["rejected_by_field"].items())
        typer.echo(f"{summary['rejected']} rejected ({fields}): {summary['rejections']}")
    if summary["not_asked"]:
        typer.echo(f"{summary['not_asked']} not asked: a cap was reached; raise it and go on")
    if stats := summary.get("teacher"):
        retries = sum(stats["retries"].values())
        typer.echo(
            f"{stats['requests']} requests, {stats['cached']} answers from the cache, {retries} "
            f"retries; {stats['tokens']:,} tokens, cost {stats['cost']:.4f}"
        )
        for what, count in stats["fallbacks"].items():
            typer.echo(f"note: {what} ({count} times)", err=True)


def show_plan(teacher: OpenAITeacher, items: list[AnnotatedSeries], as_json: bool) -> None:
    """What a run would ask and cost at most."""
    plan = teacher.plan(items)
    if as_json:
        print_json({"dry_run": True, "model": teacher.name, **asdict(plan)})
        return
    typer.echo(
        f"{plan.requests} requests to {teacher.name}, {plan.cached} answers in the cache; at most "
        f"{plan.tokens_at_most:,} tokens, cost at most {plan.cost_at_most:.4f}, retries left out"
    )
    if plan.within_caps < plan.requests:
        typer.echo(f"the caps surely hold for {plan.within_caps} of them")
    if plan.unreadable:
        typer.echo(f"{plan.unreadable} series cannot be asked about")


def show_audit(file: Path, found: dict[str, Any]) -> None:
    """A table of agreement, a cross table of each field, and the first rows to look at."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    title = f"{file.name}: {found['n']} rows against the {found['rules']} rules"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("field")
    for name in ("rows", "accuracy", "lenient", "kappa", "majority"):
        table.add_column(name, justify="right")
    for name, score in found["fields"].items():
        numbers = (score[k] for k in ("accuracy", "lenient_accuracy", "kappa", "majority"))
        table.add_row(name, str(score["n"]), *map(share, numbers))
    whole_rows = found["all_fields"]
    both = (whole_rows["accuracy"], whole_rows["lenient_accuracy"])
    table.add_row("all", str(whole_rows["n"]), *map(share, both), "", "")
    console = Console()
    console.print(table)
    for name, score in found["fields"].items():
        if not score["n"]:
            continue
        cross = Table(
            title=f"{name}: rule down, label across", title_justify="left", box=box.SIMPLE
        )
        cross.add_column("")
        for label in next(iter(score["confusion"].values())):
            cross.add_column(label, justify="right")
        for label, counts in score["confusion"].items():
            cross.add_row(label, *map(str, counts.values()))
        console.print(cross)
        rows = ", ".join(map(str, score["rows"][:SHOWN_ROWS]))
        more = len(score["rows"]) - SHOWN_ROWS
        typer.echo(
            f" look at rows {rows or '– none'}" + (f" and {more} more (--json)" if more > 0 else "")
        )
    if found["unreadable"]:
        typer.echo(f"unreadable by the rules: rows {', '.join(map(str, found['unreadable']))}")
