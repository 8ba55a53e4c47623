"""`loracast ledger`: look into a budget, check it, give an abandoned reservation back."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from loracast.cli._options import AsJson, ledger_place
from loracast.cli._output import print_json
from loracast.errors import StorageError
from loracast.flops import format_flops, parse_flops
from loracast.ledger import Ledger, LedgerEntry

__all__ = ["app"]

app = typer.Typer(help="Begin, show, verify or mend a ledger.", no_args_is_help=True)

Where = Annotated[
    str, typer.Argument(metavar="LEDGER", help="A study folder, an SQLite file or a database URL.")
]
Name = Annotated[str, typer.Option("--name", help="Name of the ledger in a database.")]


def _opened(where: str, name: str) -> Ledger:
    return Ledger(ledger_place(where), name=name)


@app.command("open")
def open_(
    where: Annotated[
        str, typer.Argument(metavar="LEDGER", help="SQLite file to write, or a database URL.")
    ],
    limit: Annotated[
        str, typer.Option("--limit", help="Most FLOPs that the ledger grants, such as 1e15 or 2PF.")
    ],
    name: Name = "default",
    as_json: AsJson = False,
) -> None:
    """Begin a ledger that several commands can charge, or change the limit of one."""
    with Ledger(ledger_place(where), parse_flops(limit), name=name) as ledger:
        location, most, left = ledger.location, ledger.limit_flops, ledger.remaining_flops
    if as_json:
        print_json({"ledger": location, "name": name, "limit_flops": most, "remaining_flops": left})
    else:
        typer.echo(f"{location}: {format_flops(most)} in all, {format_flops(left)} left")


@app.command("show")
def show(
    where: Where,
    name: Name = "default",
    entries: Annotated[bool, typer.Option("--entries", help="List every entry.")] = False,
    as_json: AsJson = False,
) -> None:
    """Limit, settled, reserved and left, with the shares of stages and kinds."""
    with _opened(where, name) as ledger:
        rows = ledger.entries()
        facts: dict[str, Any] = {
            "ledger": ledger.location,
            "convention": ledger.convention,
            "limit_flops": ledger.limit_flops,
            "spent_flops": ledger.spent_flops,
            "reserved_flops": ledger.reserved_flops,
            "remaining_flops": ledger.remaining_flops,
            "overdraft_flops": ledger.overdraft_flops,
            "repeated_flops": ledger.repeated_flops,
            "by_stage": ledger.by_stage(),
            "by_kind": ledger.by_kind(),
            "n_entries": len(rows),
            "n_rerun": sum(row.attempts > 1 for row in rows),
            "open": [vars(row) for row in rows if row.state == "reserved"],
        }
    if entries:
        facts["entries"] = [vars(row) for row in rows]
    if as_json:
        print_json(facts)
        return
    limit = facts["limit_flops"]
    typer.echo(f"{facts['ledger']} ({facts['convention']}, {len(rows)} entries)")
    for label in ("limit", "spent", "reserved", "remaining"):
        flops = facts[f"{label}_flops"]
        typer.echo(f"  {label:<10}{format_flops(flops):<36}{100 * flops / limit:7.2f} %")
    if facts["repeated_flops"]:
        typer.echo(f"ran again after an interruption: {format_flops(facts['repeated_flops'])}")
    if facts["overdraft_flops"]:
        typer.echo(
            f"overdrawn by {format_flops(facts['overdraft_flops'])}: work cost more than it had "
            "reserved; nothing more is granted until the limit is raised"
        )
    for group in ("by_stage", "by_kind"):
        typer.echo(group.replace("_", " "))
        for key, flops in facts[group].items():
            typer.echo(f"  {key:<28}{format_flops(flops):<36}{100 * flops / limit:7.2f} %")
    for row in rows:
        if entries or row.state == "reserved":
            typer.echo(_line(row))


def _line(row: LedgerEntry) -> str:
    flops = row.reserved_flops if row.settled_flops is None else row.settled_flops
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.updated))
    again = f", attempt {row.attempts}" if row.attempts > 1 else ""
    return f"  {row.state:<9} {row.key}  {format_flops(flops)}  (pid {row.pid}, {when}{again})"


@app.command("verify")
def verify(where: Where, name: Name = "default", as_json: AsJson = False) -> None:
    """Add everything up again, from the entries and from the journal; exit 2 if it differs."""
    with _opened(where, name) as ledger:
        problems, location = ledger.verify(), ledger.location
    if as_json:
        print_json({"ledger": location, "sound": not problems, "problems": problems})
    if problems:
        raise StorageError(f"ledger {location}: {'; '.join(problems)}")
    if not as_json:
        typer.echo(f"{location}: sound")


@app.command("release")
def release(
    where: Where,
    key: Annotated[str, typer.Argument(help="Key of the open entry, as `show` lists it.")],
    name: Name = "default",
    as_json: AsJson = False,
) -> None:
    """Give an open reservation back, for work that never ran or will not be resumed."""
    with _opened(where, name) as ledger:
        entry = ledger.release(key)
        left = ledger.remaining_flops
    if as_json:
        print_json({"released": vars(entry), "remaining_flops": left})
    else:
        typer.echo(f"released {format_flops(entry.reserved_flops)} of {key}; left: ", nl=False)
        typer.echo(format_flops(left))
