"""The ledger: a budget of FLOPs that refuses to begin what does not fit.

Work is reserved before it runs and settled after; nothing is reserved that would take the sum of
settled and reserved FLOPs over the limit, whichever processes race or die, and work that runs
twice is paid twice. It does not know what an entry computes.
Rows are read and written in `_books`, added up again in `_sums`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from loracast.errors import BudgetExceeded, ConfigError, StorageError
from loracast.flops import CONVENTIONS, format_flops
from loracast.ledger._books import SCHEMA_VERSION, Books
from loracast.ledger._entries import (
    RELEASED,
    RESERVED,
    SETTLED,
    Charge,
    JournalEvent,
    LedgerEntry,
    entry_of,
    whole_flops,
)
from loracast.ledger._key import Key
from loracast.ledger._sums import burn_down, flops_by, problems_of, repeated

__all__ = ["Ledger"]


class Ledger:
    """A FLOPs budget shared by any number of processes.

    Args:
        location: a path (SQLite file) or a database URL (`sqlite:///...`, `postgresql://...`);
            None is what `in_memory` gives.
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
        location: str | os.PathLike[str] | None,
        limit_flops: float | None = None,
        convention: str | None = None,
        *,
        name: str = "default",
    ) -> None:
        if convention is not None and convention not in CONVENTIONS:
            raise ConfigError(
                f"ledger: got convention {convention!r}, expected one of {', '.join(CONVENTIONS)}"
            )
        limit = None if limit_flops is None else whole_flops(limit_flops, "limit", minimum=1)
        self.name = name
        new = limit is not None or location is None
        self._books = Books(location, name, create=new)
        self.location = self._books.location
        self._charged = 0
        try:
            self.convention = self._open(limit, convention, new)
        except BaseException:
            self._books.close()
            raise

    @classmethod
    def in_memory(cls, limit_flops: float | None = None, convention: str | None = None) -> Self:
        """A ledger that ends with this process, for work that is charged to nobody's budget.

        Any number of threads may use it; a forked process may not.

        Args:
            limit_flops: the budget; None sets no limit: `limit_flops` and `remaining_flops` are
                then infinite.
            convention: how its FLOPs are counted; None is "exact".

        Raises:
            ConfigError: unknown convention, or a limit that is not positive.
        """
        return cls(None, limit_flops, convention)

    def _open(self, limit: int | None, convention: str | None, new: bool) -> str:
        books = self._books
        if not new:
            return self._same_convention(books.totals(), convention)
        with books.beginning() as (connection, row):
            if row is None:
                convention = convention or "exact"
                books.begin(connection, limit, convention)
                return convention
            convention = self._same_convention(row, convention)
            if limit is not None and limit != row.limit_flops:
                used = row.settled_flops + row.reserved_flops
                if limit < used:
                    raise BudgetExceeded(
                        f"ledger {self.location}: got a limit of {format_flops(limit)}, but "
                        f"{format_flops(used)} are already settled or reserved; give a larger "
                        "budget or another output folder"
                    )
                books.update_totals(connection, limit_flops=limit)
                books.note(connection, "limit", "", limit)
            return convention

    def _same_convention(self, row: Any, convention: str | None) -> str:
        if row.schema_version != SCHEMA_VERSION:
            raise StorageError(
                f"ledger {self.location}: got schema version {row.schema_version}, expected "
                f"{SCHEMA_VERSION}; open it with the version of loracast that wrote it"
            )
        if convention is not None and convention != row.convention:
            raise ConfigError(
                f"ledger {self.location}: got convention {convention!r}, but its FLOPs are counted "
                f"by {row.convention!r}; use that one or another output folder"
            )
        return str(row.convention)

    # -- work -----------------------------------------------------------------------------

    def reserve(self, key: Key | str, flops: float, stage: str, kind: str) -> LedgerEntry:
        """Set FLOPs aside under a key of their own; the entry is durable when this returns.

        For what is kept over several processes, such as an allowance: an open or settled entry of
        the same key is adopted, its attempts grow and its FLOPs do not. An open one that now asks
        for more is topped up. A released one is reserved anew. Work itself goes through `charge`
        or `begin`, which pay for every run.

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
        key, books = str(key), self._books
        wanted = whole_flops(flops, f"reserve {key!r}")
        with books.locked() as (connection, totals):
            row = books.entry(connection, key)
            if row is None:
                self._must_fit(totals, wanted, key, kind)
                books.add_entry(connection, key, wanted, stage, kind)
                event, extra = "reserve", wanted
            elif row.state == SETTLED:
                if wanted > row.reserved_flops:
                    raise ConfigError(
                        f"ledger {self.location}: {key!r} was settled for a reservation of "
                        f"{format_flops(row.reserved_flops)} and now asks for "
                        f"{format_flops(wanted)}; use another key or output folder"
                    )
                event, extra = "adopt", 0
                books.update_entry(connection, key, attempts=row.attempts + 1)
            else:
                held = row.reserved_flops if row.state == RESERVED else 0
                extra = max(0, wanted - held)
                event = "adopt" if row.state == RESERVED else "reserve"
                self._must_fit(totals, extra, key, kind)
                books.update_entry(
                    connection,
                    key,
                    attempts=row.attempts + 1,
                    state=RESERVED,
                    reserved_flops=held + extra,
                )
            if extra:
                books.update_totals(connection, reserved_flops=totals.reserved_flops + extra)
            books.note(connection, event, key, extra)
            return entry_of(books.entry(connection, key))

    def begin(self, key: Key | str, flops: float, stage: str, kind: str) -> LedgerEntry:
        """Reserve one run of a block of work, however often it ran before.

        A second run gets an entry of its own, `KEY#2`. What an earlier run left open is settled
        first, in full: its process died, and may have done all of it.

        Args:
            key: unique name of the block, without `#`.
            flops: the most this run may cost; rounded up to a whole number.
            stage: part of a study.
            kind: `train`, `validate`, `generate`, ...

        Returns:
            The entry to settle, by its own key.

        Raises:
            BudgetExceeded: it does not fit; it is not reserved.
            ConfigError: flops is negative or not finite, or the key holds a `#`.
        """
        block, books = Key.parse(str(key)), self._books
        wanted = whole_flops(flops, f"reserve {str(key)!r}")
        if "#" in str(key):
            raise ConfigError(
                f"ledger {self.location}: got key {str(key)!r}, expected one without '#'"
            )
        for row in books.entries(RESERVED):
            if Key.parse(row.key).block == block:
                self._settle(row.key, None, mine=False)
        with books.locked() as (connection, totals):
            run = 1
            while (row := books.entry(connection, str(block.again(run)))) is not None:
                if row.state == RELEASED:
                    break
                run += 1
            name = str(block.again(run))
            self._must_fit(totals, wanted, name, kind)
            if row is None:
                books.add_entry(connection, name, wanted, stage, kind, run)
            else:
                books.update_entry(connection, name, state=RESERVED, reserved_flops=wanted)
            books.update_totals(connection, reserved_flops=totals.reserved_flops + wanted)
            books.note(connection, "reserve", name, wanted)
            return entry_of(books.entry(connection, name))

    def settle(self, key: Key | str, flops: float | None = None) -> LedgerEntry:
        """Turn a reservation into spent FLOPs; a second settlement of the same key is ignored.

        Args:
            key: name of the block.
            flops: what it really cost; None means what was reserved. It is written down even if
                it was more than was reserved and than is left: the ledger is then overdrawn, says
                so, and grants nothing more until its limit is raised.

        Raises:
            ConfigError: no open entry of this name.
        """
        return self._settle(str(key), flops, mine=True)

    def _settle(self, key: str, flops: float | None, *, mine: bool) -> LedgerEntry:
        books = self._books
        with books.locked() as (connection, totals):
            row = books.existing_entry(connection, key)
            if row.state == SETTLED or (row.state != RESERVED and not mine):
                return entry_of(row)  # another process was faster
            if row.state != RESERVED:
                raise ConfigError(
                    f"ledger {self.location}: cannot settle {key!r}, it was released; reserve it "
                    "again first"
                )
            spent = row.reserved_flops if flops is None else whole_flops(flops, f"settle {key!r}")
            books.update_entry(connection, key, state=SETTLED, settled_flops=spent)
            settled = totals.settled_flops + spent
            reserved = totals.reserved_flops - row.reserved_flops
            books.update_totals(connection, settled_flops=settled, reserved_flops=reserved)
            books.note(connection, "settle", key, spent)
            over = 0 if totals.limit_flops is None else settled + reserved - totals.limit_flops
            if spent > row.reserved_flops and over > 0:
                books.note(connection, "overdraft", key, over)
            entry = entry_of(books.entry(connection, key))
        self._charged += spent if mine else 0
        return entry

    def release(self, key: Key | str) -> LedgerEntry:
        """Give an open reservation back to the budget, for work that never ran or will not resume.

        Raises:
            ConfigError: no entry of this name, or it is settled.
        """
        key, books = str(key), self._books
        with books.locked() as (connection, totals):
            row = books.existing_entry(connection, key)
            if row.state == SETTLED:
                raise ConfigError(
                    f"ledger {self.location}: cannot release {key!r}, its "
                    f"{format_flops(row.settled_flops)} are settled"
                )
            if row.state == RESERVED:
                books.update_entry(connection, key, state=RELEASED)
                books.update_totals(
                    connection, reserved_flops=totals.reserved_flops - row.reserved_flops
                )
                books.note(connection, "release", key, row.reserved_flops)
            return entry_of(books.entry(connection, key))

    @contextmanager
    def charge(self, key: Key | str, flops: float, stage: str, kind: str) -> Iterator[Charge]:
        """Reserve, run the body, settle; a body that runs again is charged again.

        An exception in the body leaves the reservation counted.

        Yields:
            `Charge`; set its `flops` when the work cost another amount than was reserved.

        Raises:
            BudgetExceeded: it does not fit; the body does not run.
        """
        charge = Charge(self.begin(key, flops, stage, kind))
        yield charge
        charge.entry = self.settle(charge.entry.key, charge.flops)

    def _must_fit(self, totals: Any, extra: int, key: str, kind: str) -> None:
        left = _left(totals)
        if extra > left:
            raise BudgetExceeded(
                f"budget: {key!r} ({kind}) needs {format_flops(extra)}, {format_flops(left)} of "
                f"{format_flops(totals.limit_flops)} are left "
                f"({format_flops(totals.settled_flops)} settled, "
                f"{format_flops(totals.reserved_flops)} reserved) in {self.location}; "
                "raise the budget and resume"
            )

    # -- what it holds --------------------------------------------------------------------

    @property
    def limit_flops(self) -> float:
        """The budget in FLOPs; infinite where there is no limit."""
        limit = self._books.totals().limit_flops
        return math.inf if limit is None else float(limit)

    @property
    def spent_flops(self) -> float:
        """FLOPs of all settled entries."""
        return float(self._books.totals().settled_flops)

    @property
    def reserved_flops(self) -> float:
        """FLOPs of all open reservations."""
        return float(self._books.totals().reserved_flops)

    @property
    def remaining_flops(self) -> float:
        """FLOPs that can still be reserved; below zero when the ledger is overdrawn."""
        return float(_left(self._books.totals()))

    @property
    def overdraft_flops(self) -> float:
        """By how much more than the limit was used, because work cost more than it had reserved."""
        return max(0.0, -self.remaining_flops)

    @property
    def repeated_flops(self) -> float:
        """Settled FLOPs of runs whose work ran again later, after an interruption."""
        return float(sum(row.settled_flops for row in repeated(self._books.entries(SETTLED))))

    @property
    def charged_flops(self) -> float:
        """FLOPs settled through this object, whoever else uses the ledger."""
        return float(self._charged)

    def entries(self, state: str | None = None) -> list[LedgerEntry]:
        """All entries, oldest first; only those in `state` if one is named."""
        return [entry_of(row) for row in self._books.entries(state)]

    def journal(self) -> list[JournalEvent]:
        """Every event since the ledger was opened, in order."""
        rows = self._books.journal()
        return [JournalEvent(r.time, r.event, r.key, float(r.flops), r.pid) for r in rows]

    def by_stage(self) -> dict[str, float]:
        """Settled FLOPs by stage, in order of first use."""
        return flops_by("stage", self._books.entries(SETTLED))

    def by_kind(self) -> dict[str, float]:
        """Settled FLOPs by kind, in order of first use."""
        return flops_by("kind", self._books.entries(SETTLED))

    def burn_down(self) -> list[tuple[float, float]]:
        """(seconds since the epoch, FLOPs left of the limit after it) for every settlement.

        Empty where there is no limit.
        """
        return burn_down(self._books.journal()) if math.isfinite(self.limit_flops) else []

    def verify(self) -> list[str]:
        """Problems found by adding everything up again; empty when the ledger is sound.

        The totals are compared with the entries and with a replay of the journal.
        """
        return problems_of(*self._books.snapshot())

    def close(self) -> None:
        """Close the connections of this process."""
        self._books.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _left(totals: Any) -> float:
    """What can still be reserved, whole and exact where there is a limit."""
    if totals.limit_flops is None:
        return math.inf
    left: int = totals.limit_flops - totals.settled_flops - totals.reserved_flops
    return left
