"""Answers and expenses of a teacher in one append-only file of JSON lines.

A request is written down, with the most that it can cost, before it is sent, and again when its
answer is there, so that a run killed at any moment goes on without asking twice, and what a lost
request may have cost stays counted.

    {"event": "sent", "request": 3, "key": "...", "tokens": 1900, "cost": 0.0019}
    {"event": "answer", "request": 3, "key": "...", "text": "...", "tokens": 640, "cost": 0.0007}
    {"event": "failed", "request": 4, "reason": "429", "tokens": 0, "cost": 0}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from loracast.annotation._teacher_lock import FileLock
from loracast.errors import AnnotationError, StorageError

__all__ = ["AnswerCache"]

EVENTS = {
    "sent": ("request", "key", "tokens", "cost"),
    "answer": ("request", "key", "text", "limit", "tokens", "cost"),
    "failed": ("request", "reason", "tokens", "cost"),
}
BEGINNINGS = tuple(f'{{"event": "{event}", "request": '.encode() for event in EVENTS)


class AnswerCache:
    """What was asked, answered and spent, in a file or, without one, in memory.

    Use it in a `with` statement; one process at a time.

    Args:
        path: of the file, made if it does not exist; None keeps nothing.
        read_only: look at the file, change nothing, make nothing.

    Raises:
        AnnotationError: a line that is not one of a cache; a cut last line, left by a process
            that was killed while it wrote, is taken off.
        StorageError: a file that cannot be read or written, or that another process has open.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self._file: BinaryIO | None = None
        self._lock: FileLock | None = None
        self._answers: dict[str, dict[str, Any]] = {}
        self._expenses: dict[int, tuple[int, Decimal]] = {}
        if self.path is None or (read_only and not self.path.exists()):
            return
        try:
            if read_only:
                content = self.path.read_bytes()
            else:
                self._file = self.path.open("a+b", buffering=0)
                content = self._locked(self._file, self.path)
            whole = content.rfind(b"\n") + 1
            self._read(content[:whole], content[whole:])
            if self._file is not None and whole < len(content):
                self._file.truncate(whole)  # only now is it known to be a cache
        except OSError as error:
            self.close()
            raise StorageError(
                f"{self.path}: the cache cannot be used ({error.strerror or error})"
            ) from error
        except (AnnotationError, StorageError):
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def spent(self) -> tuple[int, Decimal]:
        """Tokens and money, of this and earlier runs; of lost requests the most they can cost."""
        expenses = self._expenses.values()
        return sum(t for t, _ in expenses), sum((c for _, c in expenses), Decimal(0))

    def get(self, key: str, limit: int) -> Mapping[str, Any] | None:
        """The answer to a question, if there is one.

        Args:
            key: of the question.
            limit: answer tokens allowed now; an answer that was cut at fewer does not count.
        """
        answer = self._answers.get(key)
        if answer and answer.get("finish_reason") == "length" and answer["limit"] < limit:
            return None
        return answer

    def sent(self, key: str, tokens: int, cost: Decimal) -> int:
        """Write down that a request is about to be sent, and its worst case; returns its number."""
        request = max(self._expenses, default=-1) + 1
        self._append("sent", request=request, key=key, tokens=tokens, cost=cost)
        return request

    def failed(
        self, request: int, reason: str, tokens: int = 0, cost: Decimal = Decimal(0)
    ) -> None:
        """Write down that a request brought no answer, and what it is counted with."""
        self._append("failed", request=request, reason=reason, tokens=tokens, cost=cost)

    def answered(self, request: int, key: str, tokens: int, cost: Decimal, **answer: Any) -> None:
        """Write down an answer (`text`, `finish_reason`, `limit` ...) and what it cost."""
        self._append("answer", request=request, key=key, tokens=tokens, cost=cost, **answer)

    def _append(self, event: str, **data: Any) -> None:
        row = {"event": event, **data}
        if self._file is not None:
            text = json.dumps({**row, "cost": float(row["cost"])}, ensure_ascii=False) + "\n"
            try:
                left = memoryview(text.encode("utf-8", "backslashreplace"))
                while left:
                    left = left[self._file.write(left) :]
            except OSError as error:
                raise StorageError(
                    f"{self.path}: the cache cannot be written ({error.strerror or error}); the "
                    "run stopped, what it holds is kept"
                ) from error
        self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        self._expenses[row["request"]] = (row["tokens"], Decimal(str(row["cost"])))
        if row["event"] == "answer":
            self._answers[row["key"]] = row

    def _locked(self, file: BinaryIO, path: Path) -> bytes:
        try:
            self._lock = FileLock(file, path)
        except OSError as error:
            raise StorageError(
                f"{self.path}: another process uses this cache; wait for it or name another file"
            ) from error
        file.seek(0)
        return file.read()

    def _read(self, content: bytes, cut: bytes) -> None:
        """Take the whole lines, and make sure that a cut last one is the beginning of an event."""
        lines = content.splitlines()
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                names = EVENTS[row["event"]]
                numbers = [row["request"], row["tokens"]]
                fine = all(name in row for name in names) and all(
                    isinstance(n, int) and n >= 0 for n in numbers
                )
                fine = fine and isinstance(row["cost"], int | float) and row["cost"] >= 0
                texts = (row.get("text", ""), row.get("finish_reason"), row.get("refusal"))
                counts = (row.get("limit", 0), row.get("tokens_in"), row.get("tokens_out"))
                fine = fine and all(isinstance(t, str | None) for t in texts)
                fine = fine and all(isinstance(c, int | None) for c in counts)
            except (ValueError, KeyError, TypeError, RecursionError):
                fine = False
            if not fine:
                raise self._foreign(number)
            self._take(row)
        if not any(cut.startswith(b) or b.startswith(cut) for b in BEGINNINGS):
            raise self._foreign(len(lines) + 1)

    def _foreign(self, number: int) -> AnnotationError:
        return AnnotationError(
            f"{self.path}, line {number}: is no line of a cache; name another file"
        )
