"""The ledger: a budget of FLOPs that refuses to begin what does not fit.

Work is reserved before it runs and settled after; the sum of settled and reserved FLOPs never
passes the limit, whichever processes race or die. It does not know what an entry computes.
The database work is in `_store`, imported when the first ledger is opened.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from loracast.errors import BudgetExceeded, ConfigError, StorageError
from loracast.flops._convention import CONVENTIONS
from loracast.flops._units import format_flops

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Charge", "JournalEvent", "Ledger", "LedgerEntry"]

_SCHEMA_VERSION = 1
RESERVED, SETTLED, RELEASED = "reserved", "settled", "released"


@dataclass(frozen=True)
class LedgerEntry:
    """One block of work as the ledger holds it.

    Args:
        key: its unique name, for instance `final/train/000100-000149`.
        stage: part of a study, for instance `grid`.
        kind: `train`, `validate`, `generate`, ...
        state: `reserved` (open), `settled` or `released`.
        reserved_flops: what was set aside before it ran.
        settled_flops: what it cost; None while open.
        attempts: how often it was begun; above 1 it was interrupted and run again.
        pid: process that touched it last.
        created, updated: seconds since the epoch.
    """

    key: str
    stage: str
    kind: str
    state: str
    reserved_flops: float
    settled_flops: float | None
    attempts: int
    pid: int
    created: float
    updated: float


@dataclass(frozen=True)
class JournalEvent:
    """One line of the append-only journal: open, limit, reserve, adopt, settle or release."""

    time: float
    event: str
    key: str
    flops: float
    pid: int


@dataclass
class Charge:
    """What `Ledger.charge` hands out; set `flops` to settle another amount than reserved."""

    entry: LedgerEntry
    flops: float | None = None


class Ledger:
    """A FLOPs budget shared by any number of processes.

    Args:
        location: a path (SQLite file) or a database URL (`sqlite:///...`, `postgresql://...`).
        limit_flops: the budget; None opens an existing ledger as it is. Another limit than the
            existing one replaces it, and the journal says so.
        convention: how its FLOPs are counted; one ledger holds one convention.
        name: the ledger's name inside the database, for several in one server.

    Raises:
        ConfigError: unknown convention, another convention than the ledger's, no limit for a
            new ledger, or a limit that is not positive.
        BudgetExceeded: the new limit is below what is already settled and reserved.
        StorageError: the database cannot be reached, created or read.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        limit_flops: float | None = None,
        convention: str | None = None,
        *,
        name: str = "default",
    ) -> None:
        from loracast.flops import _store

        if convention is not None and convention not in CONVENTIONS:
            raise ConfigError(
                f"ledger: got convention {convention!r}, expected one of {', '.join(CONVENTIONS)}"
            )
        limit = None if limit_flops is None else _whole(limit_flops, "limit", minimum=1)
        self.name = name
        self._tables = _store
        self._store = _store.Store(location, create=limit is not None)
        self.location = self._store.label
        try:
            self.convention = self._open(limit, convention)
        except BaseException:
            self._store.close()
            raise

    def _open(self, limit: int | None, convention: str | None) -> str:
        ledgers = self._tables.LEDGERS
        if limit is None:
            with self._store.reading() as connection:
                row = self._row(connection, lock=False)
            return self._same_convention(row, convention)
        with self._store.writing() as connection:
            if not self._store.is_sqlite:
                connection.execute(self._advisory_lock())
            row = self._row(connection, lock=True, missing_ok=True)
            if row is None:
                convention = convention or "exact"
                now = time.time()
                connection.execute(
                    ledgers.insert().values(
                        name=self.name,
                        schema_version=_SCHEMA_VERSION,
                        convention=convention,
                        limit_flops=limit,
                        settled_flops=0,
                        reserved_flops=0,
                        created=now,
                        updated=now,
                    )
                )
                self._note(connection, "open", "", limit)
                return convention
            convention = self._same_convention(row, convention)
            if limit != row.limit_flops:
                used = row.settled_flops + row.reserved_flops
                if limit < used:
                    raise BudgetExceeded(
                        f"ledger {self.location}: got a limit of {format_flops(limit)}, but "
                        f"{format_flops(used)} are already settled or reserved; give a larger "
                        "budget or another output folder"
                    )
                self._update_totals(connection, limit_flops=limit)
                self._note(connection, "limit", "", limit)
            return convention

    def _same_convention(self, row: Any, convention: str | None) -> str:
        if row.schema_version != _SCHEMA_VERSION:
            raise StorageError(
                f"ledger {self.location}: got schema version {row.schema_version}, expected "
                f"{_SCHEMA_VERSION}; open it with the version of loracast that wrote it"
            )
        if convention is not None and convention != row.convention:
            raise ConfigError(
                f"ledger {self.location}: got convention {convention!r}, but its FLOPs are counted "
                f"by {row.convention!r}; use that one or another output folder"
            )
        return str(row.convention)

    # -- work -----------------------------------------------------------------------------

    def reserve(self, key: str, flops: float, stage: str, kind: str) -> LedgerEntry:
        """Set FLOPs aside before work begins; the entry is durable when this returns.

        An open or settled entry of the same key is adopted: its attempts grow, its FLOPs do not.
        An open one that now asks for more is topped up. A released one is reserved anew.

        Args:
            key: unique name of the block.
            flops: the most it may cost; rounded up to a whole number.
            stage: part of a study.
            kind: `train`, `validate`, `generate`, ...

        Raises:
            BudgetExceeded: it does not fit; nothing is written.
            ConfigError: flops is negative or not finite, or a settled key asks for more than
                it had reserved.
        """
        wanted = _whole(flops, f"reserve {key!r}")
        with self._locked() as (connection, totals):
            row = self._entry_row(connection, key)
            if row is None:
                self._must_fit(totals, wanted, key, kind)
                now = time.time()
                connection.execute(
                    self._tables.ENTRIES.insert().values(
                        ledger=self.name,
                        key=key,
                        stage=stage,
                        kind=kind,
                        reserved_flops=wanted,
                        settled_flops=None,
                        state=RESERVED,
                        attempts=1,
                        pid=os.getpid(),
                        created=now,
                        updated=now,
                    )
                )
                event, extra = "reserve", wanted
            elif row.state == SETTLED:
                if wanted > row.reserved_flops:
                    raise ConfigError(
                        f"ledger {self.location}: {key!r} was settled for a reservation of "
                        f"{format_flops(row.reserved_flops)} and now asks for "
                        f"{format_flops(wanted)}; use another key or output folder"
                    )
                event, extra = "adopt", 0
                self._update_entry(connection, key, attempts=row.attempts + 1)
            else:
                held = row.reserved_flops if row.state == RESERVED else 0
                extra = max(0, wanted - held)
                event = "adopt" if row.state == RESERVED else "reserve"
                self._must_fit(totals, extra, key, kind)
                self._update_entry(
                    connection,
                    key,
                    attempts=row.attempts + 1,
                    state=RESERVED,
                    reserved_flops=held + extra,
                )
            if extra:
                self._update_totals(connection, reserved_flops=totals.reserved_flops + extra)
            self._note(connection, event, key, extra)
            return self._as_entry(self._entry_row(connection, key))

    def settle(self, key: str, flops: float | None = None) -> LedgerEntry:
        """Turn a reservation into spent FLOPs; a second settlement of the same key is ignored.

        Args:
            key: name of the block.
            flops: what it really cost; None means what was reserved. More than reserved is
                accepted as far as the budget has room.

        Raises:
            ConfigError: no open entry of this name.
            BudgetExceeded: it cost more than reserved and the rest does not fit; the
                reservation stays open.
        """
        with self._locked() as (connection, totals):
            row = self._existing_row(connection, key)
            if row.state == SETTLED:
                return self._as_entry(row)
            if row.state != RESERVED:
                raise ConfigError(
                    f"ledger {self.location}: cannot settle {key!r}, it was released; reserve it "
                    "again first"
                )
            spent = row.reserved_flops if flops is None else _whole(flops, f"settle {key!r}")
            self._must_fit(totals, spent - row.reserved_flops, key, row.kind)
            self._update_entry(connection, key, state=SETTLED, settled_flops=spent)
            self._update_totals(
                connection,
                settled_flops=totals.settled_flops + spent,
                reserved_flops=totals.reserved_flops - row.reserved_flops,
            )
            self._note(connection, "settle", key, spent)
            return self._as_entry(self._entry_row(connection, key))

    def release(self, key: str) -> LedgerEntry:
        """Give an open reservation back to the budget, for work that never ran or will not resume.

        Raises:
            ConfigError: no entry of this name, or it is settled.
        """
        with self._locked() as (connection, totals):
            row = self._existing_row(connection, key)
            if row.state == SETTLED:
                raise ConfigError(
                    f"ledger {self.location}: cannot release {key!r}, its "
                    f"{format_flops(row.settled_flops)} are settled"
                )
            if row.state == RESERVED:
                self._update_entry(connection, key, state=RELEASED)
                self._update_totals(
                    connection, reserved_flops=totals.reserved_flops - row.reserved_flops
                )
                self._note(connection, "release", key, row.reserved_flops)
            return self._as_entry(self._entry_row(connection, key))

    @contextmanager
    def charge(self, key: str, flops: float, stage: str, kind: str) -> Iterator[Charge]:
        """Reserve, run the body, settle. An exception in the body leaves the reservation counted.

        Yields:
            `Charge`; set its `flops` when the work cost another amount than was reserved.

        Raises:
            BudgetExceeded: it does not fit; the body does not run.
        """
        charge = Charge(self.reserve(key, flops, stage, kind))
        yield charge
        charge.entry = self.settle(key, charge.flops)

    # -- what it holds --------------------------------------------------------------------

    @property
    def limit_flops(self) -> float:
        """The budget in FLOPs."""
        return float(self._totals().limit_flops)

    @property
    def spent_flops(self) -> float:
        """FLOPs of all settled entries."""
        return float(self._totals().settled_flops)

    @property
    def reserved_flops(self) -> float:
        """FLOPs of all open reservations."""
        return float(self._totals().reserved_flops)

    @property
    def remaining_flops(self) -> float:
        """FLOPs that can still be reserved."""
        totals = self._totals()
        return float(totals.limit_flops - totals.settled_flops - totals.reserved_flops)

    def entries(self, state: str | None = None) -> list[LedgerEntry]:
        """All entries, oldest first; only those in `state` if one is named."""
        table = self._tables.ENTRIES
        query = table.select().where(table.c.ledger == self.name)
        if state is not None:
            query = query.where(table.c.state == state)
        with self._store.reading() as connection:
            rows = connection.execute(query.order_by(table.c.created, table.c.key)).all()
        return [self._as_entry(row) for row in rows]

    def journal(self) -> list[JournalEvent]:
        """Every event since the ledger was opened, in order."""
        table = self._tables.JOURNAL
        query = table.select().where(table.c.ledger == self.name).order_by(table.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [JournalEvent(r.time, r.event, r.key, float(r.flops), r.pid) for r in rows]

    def by_stage(self) -> dict[str, float]:
        """Settled FLOPs by stage, in order of first use."""
        return self._grouped("stage")

    def by_kind(self) -> dict[str, float]:
        """Settled FLOPs by kind, in order of first use."""
        return self._grouped("kind")

    def burn_down(self) -> list[tuple[float, float]]:
        """(seconds since the epoch, FLOPs left of the limit after it) for every settlement."""
        points: list[tuple[float, float]] = []
        limit = spent = 0.0
        for event in self.journal():
            if event.event in ("open", "limit"):
                limit = event.flops
            elif event.event == "settle":
                spent += event.flops
            else:
                continue
            points.append((event.time, limit - spent))
        return points

    def verify(self) -> list[str]:
        """Problems found by adding everything up again; empty when the ledger is sound.

        The totals are compared with the entries and with a replay of the journal.
        """
        ledgers, entries, journal = (
            self._tables.LEDGERS,
            self._tables.ENTRIES,
            self._tables.JOURNAL,
        )
        with self._store.reading() as connection:
            totals = connection.execute(ledgers.select().where(ledgers.c.name == self.name)).one()
            rows = connection.execute(entries.select().where(entries.c.ledger == self.name)).all()
            events = connection.execute(
                journal.select().where(journal.c.ledger == self.name).order_by(journal.c.id)
            ).all()
        problems = []
        settled = sum(r.settled_flops for r in rows if r.state == SETTLED)
        reserved = sum(r.reserved_flops for r in rows if r.state == RESERVED)
        for label, total, found in (
            ("settled", totals.settled_flops, settled),
            ("reserved", totals.reserved_flops, reserved),
        ):
            if total != found:
                problems.append(f"{label}: the total says {total}, the entries add up to {found}")
        if settled + reserved > totals.limit_flops:
            problems.append(
                f"over the limit: {settled + reserved} settled and reserved of {totals.limit_flops}"
            )
        for r in rows:
            if r.state not in (RESERVED, SETTLED, RELEASED):
                problems.append(f"{r.key}: unknown state {r.state!r}")
            if (r.state == SETTLED) != (r.settled_flops is not None):
                problems.append(f"{r.key}: is {r.state} with settled FLOPs {r.settled_flops}")
        problems.extend(_replayed(events, rows))
        return problems

    def close(self) -> None:
        """Close the connections of this process."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- rows -----------------------------------------------------------------------------

    def _advisory_lock(self) -> sa.Select[Any]:
        import sqlalchemy as sa

        return sa.select(sa.func.pg_advisory_xact_lock(self._tables.SCHEMA_LOCK))

    def _row(self, connection: sa.Connection, *, lock: bool, missing_ok: bool = False) -> Any:
        ledgers = self._tables.LEDGERS
        query = ledgers.select().where(ledgers.c.name == self.name)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None and not missing_ok:
            raise ConfigError(
                f"ledger {self.location}: holds no ledger named {self.name!r}; give a limit to "
                "begin one"
            )
        return row

    def _totals(self) -> Any:
        with self._store.reading() as connection:
            return self._row(connection, lock=False)

    @contextmanager
    def _locked(self) -> Iterator[tuple[sa.Connection, Any]]:
        with self._store.writing() as connection:
            yield connection, self._row(connection, lock=True)

    def _entry_row(self, connection: sa.Connection, key: str) -> Any:
        table = self._tables.ENTRIES
        return connection.execute(
            table.select().where(table.c.ledger == self.name, table.c.key == key)
        ).one_or_none()

    def _existing_row(self, connection: sa.Connection, key: str) -> Any:
        row = self._entry_row(connection, key)
        if row is None:
            raise ConfigError(f"ledger {self.location}: no entry {key!r}; `ledger show` lists them")
        return row

    def _update_entry(self, connection: sa.Connection, key: str, **values: Any) -> None:
        table = self._tables.ENTRIES
        connection.execute(
            table.update()
            .where(table.c.ledger == self.name, table.c.key == key)
            .values(pid=os.getpid(), updated=time.time(), **values)
        )

    def _update_totals(self, connection: sa.Connection, **values: int) -> None:
        table = self._tables.LEDGERS
        connection.execute(
            table.update().where(table.c.name == self.name).values(updated=time.time(), **values)
        )

    def _note(self, connection: sa.Connection, event: str, key: str, flops: int) -> None:
        connection.execute(
            self._tables.JOURNAL.insert().values(
                ledger=self.name,
                time=time.time(),
                event=event,
                key=key,
                flops=flops,
                pid=os.getpid(),
            )
        )

    def _must_fit(self, totals: Any, extra: int, key: str, kind: str) -> None:
        left = totals.limit_flops - totals.settled_flops - totals.reserved_flops
        if extra > left:
            raise BudgetExceeded(
                f"budget: {key!r} ({kind}) needs {format_flops(extra)}, {format_flops(left)} of "
                f"{format_flops(totals.limit_flops)} are left "
                f"({format_flops(totals.settled_flops)} settled, "
                f"{format_flops(totals.reserved_flops)} reserved) in {self.location}; "
                "raise the budget and resume"
            )

    def _grouped(self, column: str) -> dict[str, float]:
        sums: dict[str, int] = {}
        for entry in self.entries(SETTLED):
            group = getattr(entry, column)
            sums[group] = sums.get(group, 0) + int(entry.settled_flops or 0)
        return {group: float(flops) for group, flops in sums.items()}

    @staticmethod
    def _as_entry(row: Any) -> LedgerEntry:
        return LedgerEntry(
            key=row.key,
            stage=row.stage,
            kind=row.kind,
            state=row.state,
            reserved_flops=float(row.reserved_flops),
            settled_flops=None if row.settled_flops is None else float(row.settled_flops),
            attempts=row.attempts,
            pid=row.pid,
            created=row.created,
            updated=row.updated,
        )


def _replayed(events: Sequence[Any], rows: Sequence[Any]) -> list[str]:
    """Where the journal, played again, differs from the entries."""
    open_flops: dict[str, int] = {}
    settled: dict[str, int] = {}
    for event in events:
        if event.event in ("reserve", "adopt"):
            if event.key not in settled:
                open_flops[event.key] = open_flops.get(event.key, 0) + event.flops
        elif event.event == "settle":
            open_flops.pop(event.key, None)
            settled[event.key] = event.flops
        elif event.event == "release":
            open_flops.pop(event.key, None)
    problems = []
    for row in rows:
        held = row.reserved_flops if row.state == RESERVED else None
        if open_flops.get(row.key) != held:
            problems.append(f"{row.key}: the journal holds {open_flops.get(row.key)} open FLOPs")
        if settled.get(row.key) != row.settled_flops:
            problems.append(f"{row.key}: the journal settles {settled.get(row.key)} FLOPs")
    known = {row.key for row in rows}
    problems.extend(
        f"{key}: is in the journal and not among the entries"
        for key in sorted((set(open_flops) | set(settled)) - known)
    )
    return problems


def _whole(flops: float, what: str, minimum: int = 0) -> int:
    try:
        finite = math.isfinite(flops)
    except (TypeError, OverflowError):
        finite = isinstance(flops, int)
    if not finite or flops < minimum:
        raise ConfigError(
            f"ledger: {what}: got {flops!r} FLOPs, expected a finite number of at least {minimum}"
        )
    return math.ceil(flops)
