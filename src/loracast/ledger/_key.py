"""The names of a ledger's entries: built here, read here, and nowhere else by hand.

final/train/00000100      stage, kind of work, part: here the step it begins with
final/generate/1f0c...#2  the second run of a forecast, named by its work
fit/9ab3...               an allowance: a stage and a part
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

__all__ = ["Key"]

_LATER_RUN = re.compile(r"(.+)#([2-9]|[1-9][0-9]+)", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Key:
    """The name of one run of one block of work; `str` gives its text.

    Args:
        stage: the part of a study, or None where the text has no slash.
        kind: the kind of work as the name tells it, or None where the text has fewer than two.
        part: what tells it from its siblings: a step, or a digest of the work.
        run: which run of the block this is, from 1.
    """

    stage: str | None
    kind: str | None
    part: str
    run: int = 1

    @classmethod
    def of_step(cls, stage: str, kind: str, step: int) -> Self:
        """The key of work that begins at a step of a training."""
        return cls(stage, kind, f"{step:08d}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any key back; `str` of it is the text again."""
        later = _LATER_RUN.fullmatch(text)
        block, run = (later[1], int(later[2])) if later else (text, 1)
        *before, part = block.rsplit("/", 2)
        stage, kind = (*before, None, None)[:2]
        return cls(stage, kind, part, run)

    @property
    def step(self) -> int:
        """The step that the part names.

        Raises:
            ValueError: it names none.
        """
        return int(self.part)

    @property
    def block(self) -> Self:
        """The key of the block's first run."""
        return self.again(1)

    def again(self, run: int) -> Self:
        """The key of the block's n-th run."""
        return replace(self, run=run)

    def __str__(self) -> str:
        block = "/".join(p for p in (self.stage, self.kind, self.part) if p is not None)
        return block if self.run == 1 else f"{block}#{self.run}"
