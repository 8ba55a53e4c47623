"""How far a long command is: a bar on a terminal, now and then a line elsewhere.

Follows the protocol of `studies.StudyProgress`. Always on stderr, so that stdout stays pure.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from loracast.flops import format_flops

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from loracast.training import Progress as TrainProgress

__all__ = ["Watcher"]

SECONDS_BETWEEN_LINES = 10.0


class Watcher:
    """Shows stages and how far they are; use it in a `with` statement.

    Args:
        stream: where to write, stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None
        self._name, self._total, self._done = "", None, 0  # type: str, int | None, int
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._stream.isatty():
            from rich import progress
            from rich.console import Console

            self._bars = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[text]}"),
                console=Console(file=self._stream),
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        elif kind is None:
            self._end_stage()

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins; `total` steps are expected, None if unknown."""
        if self._bars is not None:
            if self._task is not None and self._total is None:
                self._bars.update(self._task, total=1, completed=1)
            self._task = self._bars.add_task(name, total=total, text="")
        else:
            self._end_stage()
        self._name, self._total, self._done = name, total, 0
        self._started = self._last = time.monotonic()

    def advance(self, n: int, text: str = "") -> None:
        """So many steps were done."""
        self._done += n
        if self._bars is not None:
            if self._task is not None:
                self._bars.update(self._task, advance=n, text=text)
            return
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._line(text)

    def trained(self, progress: TrainProgress) -> None:
        """A training step was done."""
        if self._name != "train":
            self.stage("train", progress.steps)
            self._advance_to(progress.step - 1)
        text = (
            f"loss {progress.loss:.3f}  {progress.tokens_per_second:,.0f} tokens/s  "
            f"{format_flops(progress.remaining_flops).split(' (')[0]} left"
        )
        self.advance(1, text)

    def _advance_to(self, step: int) -> None:
        """Steps that an earlier process had done."""
        if step > 0:
            self.advance(step)

    def _end_stage(self) -> None:
        seconds = time.monotonic() - self._started
        if self._name and seconds >= 1.0:
            self._write(f"{self._name}: done in {seconds:.0f} s")
        self._name = ""

    def _line(self, text: str) -> None:
        total = "" if self._total is None else f"/{self._total}"
        self._write(f"{self._name}: {self._done}{total}  {text}".rstrip())

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
