"""Where a ledger lives: three tables in SQLite or PostgreSQL, and exclusive transactions on them.

Knows rows and locks, not budgets. Imported only when a ledger is opened, so that the room stays
light. Every writing transaction holds the one lock of its ledger from its first statement on:
`BEGIN IMMEDIATE` in SQLite, `SELECT ... FOR UPDATE` of the ledger's row elsewhere.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loracast.errors import StorageError

__all__ = ["ENTRIES", "JOURNAL", "LEDGERS", "SCHEMA_LOCK", "Store"]

_BUSY_SECONDS = 60.0
SCHEMA_LOCK = 0x10AACA57  # any constant shared by all processes that create the tables


class WholeFlops(sa.types.TypeDecorator[int]):
    """A whole number of FLOPs of any size, as decimal text: sums stay exact beyond 2**63."""

    impl = sa.String(40)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:  # noqa: ARG002
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:  # noqa: ARG002
        return None if value is None else int(value)


_METADATA = sa.MetaData()
LEDGERS = sa.Table(
    "loracast_ledgers",
    _METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("convention", sa.String(40), nullable=False),
    sa.Column("limit_flops", WholeFlops, nullable=True),  # none, of a ledger in memory alone
    sa.Column("settled_flops", WholeFlops, nullable=False),
    sa.Column("reserved_flops", WholeFlops, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
)
ENTRIES = sa.Table(
    "loracast_entries",
    _METADATA,
    sa.Column("ledger", sa.String(200), primary_key=True),
    sa.Column("key", sa.String(400), primary_key=True),
    sa.Column("stage", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(200), nullable=False),
    sa.Column("reserved_flops", WholeFlops, nullable=False),
    sa.Column("settled_flops", WholeFlops, nullable=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
)
JOURNAL = sa.Table(
    "loracast_journal",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("ledger", sa.String(200), nullable=False, index=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("event", sa.String(20), nullable=False),
    sa.Column("key", sa.String(400), nullable=False),
    sa.Column("flops", WholeFlops, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
)


class Store:
    """Connections to one database; safe to carry over a fork, unless it is in memory.

    Args:
        location: a path (SQLite file, its folder must exist) or a database URL; None keeps it in
            the memory of this process, where threads take turns at its only connection.

    Raises:
        StorageError: the database cannot be reached, created or read.
    """

    def __init__(self, location: str | os.PathLike[str] | None, *, create: bool) -> None:
        text = "memory" if location is None else os.fspath(location)
        self._turn: AbstractContextManager[Any] = (
            threading.RLock() if location is None else nullcontext()
        )
        self._in_memory = location is None
        if location is None:
            url = sa.URL.create("sqlite")
        elif "://" in text:
            try:
                url = sa.make_url(text)
            except sa.exc.ArgumentError:
                raise StorageError(
                    f"ledger: got the URL {text.split('://')[0]}://..., expected one such as "
                    "sqlite:///ledger.sqlite or postgresql://user@host/database"
                ) from None
            if url.drivername in ("postgresql", "postgres"):
                url = url.set(drivername="postgresql+psycopg")
        else:
            url = sa.URL.create("sqlite", database=text)
        self.url = url
        self.label = text if "://" not in text else url.render_as_string(hide_password=True)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite and not self._in_memory:
            self._check_file(url.database, create)
        self._engine: sa.Engine | None = None
        self._engine_pid = -1
        if create:
            try:
                self._create_tables()
            except BaseException:
                self.close()
                raise

    def _check_file(self, database: str | None, create: bool) -> None:
        if not database or database == ":memory:":
            raise StorageError(
                "ledger: got an in-memory SQLite database, expected a file: a ledger must "
                "outlive its process"
            )
        path = Path(database)
        if path.is_dir():
            raise StorageError(f"ledger: {path} is a folder, expected a file such as ledger.sqlite")
        if not create and not path.exists():
            raise StorageError(f"ledger: no file {path}; check the path or run a study first")
        if not path.parent.is_dir():
            raise StorageError(f"ledger: folder {path.parent} does not exist; create it first")

    @property
    def engine(self) -> sa.Engine:
        """This process's engine; a forked child gets its own and leaves its parent's alone."""
        if self._engine is None or self._engine_pid != os.getpid():
            if self._engine is not None and self._in_memory:
                raise StorageError(
                    "ledger: this one is in the memory of another process; give a file or a URL "
                    "to a ledger that several processes charge"
                )
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine, self._engine_pid = self._build(), os.getpid()
        return self._engine

    def _build(self) -> sa.Engine:
        try:
            if not self.is_sqlite:
                return sa.create_engine(self.url, pool_pre_ping=True, pool_size=1, max_overflow=2)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise StorageError(
                f"ledger {self.label}: {_first_line(error)}; expected SQLite or PostgreSQL "
                "(pip install 'loracast[postgres]')"
            ) from None
        if self._in_memory:
            engine = sa.create_engine(
                self.url, connect_args={"check_same_thread": False}, poolclass=sa.StaticPool
            )
        else:
            engine = sa.create_engine(
                self.url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=1, max_overflow=2
            )

        @sa.event.listens_for(engine, "connect")
        def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
            connection.isolation_level = None  # transactions are begun below, by us
            _use_write_ahead_log(connection)

        @sa.event.listens_for(engine, "begin")
        def _on_begin(connection: sa.Connection) -> None:
            reading = connection.get_execution_options().get("loracast_reading", False)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

        return engine

    def _create_tables(self) -> None:
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            _METADATA.create_all(connection)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that commits on success and rolls back on any exception."""
        with self._turn, self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A consistent view that takes no write lock."""
        with self._turn, self._translated(), self.engine.connect() as plain:
            connection = plain.execution_options(
                **(
                    {"loracast_reading": True}
                    if self.is_sqlite
                    else {"isolation_level": "REPEATABLE READ"}
                )
            )
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StorageError(
                f"ledger {self.label}: {_first_line(cause)}{_remedy(cause)}"
            ) from None

    def close(self) -> None:
        """Close this process's connections; the store opens them again when used."""
        if self._engine is not None and self._engine_pid == os.getpid():
            self._engine.dispose()
        self._engine = None


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Readers never wait for writers; a commit survives the process and the machine.

    The switch needs the file alone for a moment and SQLite does not always wait for that by
    itself, so it is tried again while other processes open the same file.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _remedy(error: BaseException) -> str:
    text = str(error).lower()
    if "not a database" in text or "malformed" in text:
        return "; expected a ledger file, name another path"
    if "no such table" in text or "does not exist" in text:
        return "; it holds no ledger, check the path or URL"
    if "readonly" in text or "unable to open" in text:
        return "; check the permissions of file and folder"
    if "disk is full" in text or "disk i/o" in text:
        return "; free some space and resume"
    if "locked" in text:
        return f"; another process held it for {_BUSY_SECONDS:.0f} seconds"
    return ""
