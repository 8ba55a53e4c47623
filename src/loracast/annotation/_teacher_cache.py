"""Answers and expenses of a teacher, in a folder that diskcache keeps, as JSON and never pickled.

The most that a request can cost is added to what was spent before the request is sent, and replaced
by what the server billed in the transaction that keeps its answer. A run that is killed at any
moment therefore goes on without asking twice, and what a lost request may have cost stays counted.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pydantic import TypeAdapter

from loracast.annotation._teacher_config import Expense
from loracast.annotation._teacher_reply import Reply
from loracast.errors import AnnotationError, StorageError

__all__ = ["AnswerCache"]

SPENT = "spent"  # a key unlike any question's
EXPENSE = TypeAdapter(Expense)
EARLIER = b'{"event": "sent", "request": '  # how the file began that was a cache before


class AnswerCache:
    """What was asked, answered and spent. Use it in a `with` statement.

    One run at a time: a second one would pay for the questions that are under way in the first.

    Args:
        path: of the folder, made if it does not exist; None keeps everything for one run only.
        read_only: look at it, and make nothing.

    Raises:
        AnnotationError: a file, or a folder that holds something else; a new folder NAME beside
            answers in a file NAME.jsonl, as an earlier version wrote them.
        StorageError: it cannot be read or written, or another process has it open.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        self.path = None if path is None else Path(path)
        with ExitStack() as stack, self._told():
            if self.path is not None:
                _check(self.path)
            if self.path is None or (read_only and not self.path.exists()):
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="loracast-")))
            else:
                folder = self.path
                folder.mkdir(exist_ok=True)
            self._cache = stack.enter_context(closing(_opened(folder, folder == self.path)))
            if not read_only:
                from filelock import FileLock

                stack.enter_context(FileLock(folder / "lock", timeout=0))
            self._cache.add(SPENT, EXPENSE.dump_python(Expense(), mode="json"))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        self._stack.close()

    @property
    def spent(self) -> Expense:
        """Of this and earlier runs; of lost requests the most they can cost."""
        with self._told():
            return EXPENSE.validate_python(self._cache[SPENT])

    def get(self, key: str, limit: int) -> Reply | None:
        """The answer to a question, if there is one.

        Args:
            key: of the question.
            limit: answer tokens allowed now; an answer that was cut at fewer does not count.
        """
        with self._told():
            found = self._cache.get(key)
            reply = None if found is None else Reply.model_validate(found)
        cut = reply is not None and reply.finish_reason == "length" and reply.limit < limit
        return None if cut else reply

    def reserve(self, worst: Expense, allowed: Callable[[Expense], bool]) -> bool:
        """Count the worst case of a request before it is sent.

        Args:
            worst: the most that it can cost.
            allowed: whether so much may be spent in all.

        Returns:
            False, and nothing is counted, where it does not fit.
        """
        with self._told(), self._cache.transact():
            if not allowed(total := self.spent + worst):
                return False
            self._cache[SPENT] = EXPENSE.dump_python(total, mode="json")
            return True

    def settle(
        self, worst: Expense, billed: Expense, key: str = "", reply: Reply | None = None
    ) -> None:
        """Count what a request did cost in the place of its worst case, and keep its answer."""
        with self._told(), self._cache.transact():
            total = self.spent - worst + billed
            self._cache[SPENT] = EXPENSE.dump_python(total, mode="json")
            if reply is not None:
                self._cache[key] = reply.model_dump()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the libraries raise, in one line."""
        import diskcache
        import filelock

        try:
            yield
        except filelock.Timeout as error:
            raise StorageError(
                f"{self.path}: another process uses this cache; wait for it or name another folder"
            ) from error
        except (ValueError, LookupError, zlib.error) as error:
            raise AnnotationError(
                f"{self.path}: holds something that no teacher's cache does; name another folder"
            ) from error
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            raise StorageError(
                f"{self.path}: the cache cannot be used ({error}); what it holds is kept"
            ) from error


def _check(folder: Path) -> None:
    """Refuse what was not made here."""
    if folder.is_file():
        raise AnnotationError(f"{folder}: is a file; answers are kept in a folder, name another")
    if folder.exists() and any(folder.iterdir()) and not (folder / "cache.db").exists():
        raise AnnotationError(f"{folder}: holds other files than a cache; name another folder")
    old = folder.with_name(f"{folder.name}.jsonl")
    if not folder.exists() and old.is_file() and old.read_bytes().startswith(EARLIER):
        raise AnnotationError(
            f"{old}: holds answers as an earlier version wrote them, which are not read any more; "
            f"move it away to ask again, or name another folder than {folder}"
        )


def _opened(folder: Path, durable: bool) -> Any:
    from diskcache import Cache, JSONDisk

    class JSONOnly(JSONDisk):
        """Refuses what somebody else pickled: diskcache would run it."""

        def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
            if mode != 1:  # of raw bytes
                raise ValueError("a value that is no JSON")
            return super().fetch(mode, filename, value, read)

    # Nothing is thrown out, and nothing lies outside of the database and its transactions.
    return Cache(
        folder,
        disk=JSONOnly,
        disk_min_file_size=2**30,
        eviction_policy="none",
        cull_limit=0,
        sqlite_synchronous=2 if durable else 0,  # a power cut takes back no settled request
    )
