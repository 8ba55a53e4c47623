"""Who is told how far long work is."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Quiet", "StudyProgress"]


class StudyProgress(Protocol):
    """Who is told how far a study is."""

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins; `total` steps are expected, None if unknown."""

    def advance(self, n: int, text: str = "") -> None:
        """So many steps were done."""


class Quiet:
    """Tells nobody."""

    def stage(self, name: str, total: int | None) -> None:
        """Ignored."""

    def advance(self, n: int, text: str = "") -> None:
        """Ignored."""
