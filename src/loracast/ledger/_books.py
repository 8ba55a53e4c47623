"""The rows of one ledger: its totals, its entries and its journal, read and written one by one.

Every method works inside a transaction of the caller's and decides nothing; what may be spent is
decided in `_ledger`, and whether all adds up in `_sums`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loracast.errors import ConfigError
from loracast.ledger._entries import RESERVED

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SCHEMA_VERSION", "Books"]

SCHEMA_VERSION = 1


class Books:
    """The ledger called `name` in a database.

    Args:
        location: a path (SQLite file) or a database URL; None keeps it in memory.
        name: the ledger's name inside the database.
        create: make the tables where there are none.

    Raises:
        StorageError: the database cannot be reached, created or read.
    """

    def __init__(self, location: str | os.PathLike[str] | None, name: str, *, create: bool) -> None:
        from loracast.ledger import _store

        self.name = name
        self._tables = _store
        self._store = _store.Store(location, create=create)
        self.location = self._store.label

    def close(self) -> None:
        """Close the connections of this process."""
        self._store.close()

    # -- transactions ---------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[tuple[sa.Connection, Any]]:
        """A writing transaction that holds the ledger's lock, and the row of its totals."""
        with self._store.writing() as connection:
            yield connection, self._totals_row(connection, lock=True)

    @contextmanager
    def beginning(self) -> Iterator[tuple[sa.Connection, Any]]:
        """As `locked`, for a ledger that may not exist yet: its row is then None."""
        with self._store.writing() as connection:
            if not self._store.is_sqlite:
                # No row to lock yet: two processes that begin one ledger take turns here.
                import sqlalchemy as sa

                lock = sa.func.pg_advisory_xact_lock(self._tables.SCHEMA_LOCK)
                connection.execute(sa.select(lock))
            yield connection, self._totals_row(connection, lock=True, missing_ok=True)

    def _totals_row(
        self, connection: sa.Connection, *, lock: bool, missing_ok: bool = False
    ) -> Any:
        ledgers = self._tables.LEDGERS
        query = ledgers.select().where(ledgers.c.name == self.name)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None and not missing_ok:
            raise ConfigError(
                f"ledger {self.location}: holds no ledger named {self.name!r}; give a limit to "
                "begin one"
            )
        return row

    # -- reading --------------------------------------------------------------------------

    def totals(self) -> Any:
        """The row of limit, settled and reserved FLOPs.

        Raises:
            ConfigError: no ledger of this name.
        """
        with self._store.reading() as connection:
            return self._totals_row(connection, lock=False)

    def entries(self, state: str | None = None) -> Sequence[Any]:
        """Rows of all entries, oldest first; only those in `state` if one is named."""
        table = self._tables.ENTRIES
        query = table.select().where(table.c.ledger == self.name)
        if state is not None:
            query = query.where(table.c.state == state)
        with self._store.reading() as connection:
            return connection.execute(query.order_by(table.c.created, table.c.key)).all()

    def journal(self) -> Sequence[Any]:
        """Rows of the journal, in order."""
        with self._store.reading() as connection:
            return self._journal(connection)

    def snapshot(self) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        """Totals, entries and journal as they were at one moment."""
        entries = self._tables.ENTRIES
        with self._store.reading() as connection:
            totals = self._totals_row(connection, lock=False)
            rows = connection.execute(entries.select().where(entries.c.ledger == self.name)).all()
            return totals, rows, self._journal(connection)

    def _journal(self, connection: sa.Connection) -> Sequence[Any]:
        table = self._tables.JOURNAL
        query = table.select().where(table.c.ledger == self.name).order_by(table.c.id)
        return connection.execute(query).all()

    def entry(self, connection: sa.Connection, key: str) -> Any:
        """The row of an entry, or None."""
        table = self._tables.ENTRIES
        return connection.execute(
            table.select().where(table.c.ledger == self.name, table.c.key == key)
        ).one_or_none()

    def existing_entry(self, connection: sa.Connection, key: str) -> Any:
        """The row of an entry.

        Raises:
            ConfigError: there is none of this name.
        """
        row = self.entry(connection, key)
        if row is None:
            raise ConfigError(f"ledger {self.location}: no entry {key!r}; `ledger show` lists them")
        return row

    # -- writing --------------------------------------------------------------------------

    def begin(self, connection: sa.Connection, limit: int | None, convention: str) -> None:
        """Write the row of a new ledger, and the first line of its journal."""
        now = time.time()
        connection.execute(
            self._tables.LEDGERS.insert().values(
                name=self.name,
                schema_version=SCHEMA_VERSION,
                convention=convention,
                limit_flops=limit,
                settled_flops=0,
                reserved_flops=0,
                created=now,
                updated=now,
            )
        )
        self.note(connection, "open", "", limit or 0)

    def add_entry(
        self,
        connection: sa.Connection,
        key: str,
        flops: int,
        stage: str,
        kind: str,
        attempts: int = 1,
    ) -> None:
        """Write a new, open entry."""
        now = time.time()
        connection.execute(
            self._tables.ENTRIES.insert().values(
                ledger=self.name,
                key=key,
                stage=stage,
                kind=kind,
                reserved_flops=flops,
                settled_flops=None,
                state=RESERVED,
                attempts=attempts,
                pid=os.getpid(),
                created=now,
                updated=now,
            )
        )

    def update_entry(self, connection: sa.Connection, key: str, **values: Any) -> None:
        """Change columns of an entry."""
        table = self._tables.ENTRIES
        connection.execute(
            table.update()
            .where(table.c.ledger == self.name, table.c.key == key)
            .values(pid=os.getpid(), updated=time.time(), **values)
        )

    def update_totals(self, connection: sa.Connection, **values: int) -> None:
        """Change limit, settled or reserved FLOPs."""
        table = self._tables.LEDGERS
        connection.execute(
            table.update().where(table.c.name == self.name).values(updated=time.time(), **values)
        )

    def note(self, connection: sa.Connection, event: str, key: str, flops: int) -> None:
        """Append a line to the journal."""
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
