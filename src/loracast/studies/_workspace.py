"""The folder of a study: which stages are done, under which fingerprint, and what they said.

Knows JSON and arrays. A stage's file appears whole or not at all, so what exists is done.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from loracast.errors import StorageError
from loracast.files import write_whole
from loracast.studies._schema import write_text_atomically

__all__ = ["Workspace"]


class Workspace:
    """Cached stages under OUT/stages.

    Args:
        out: the study's folder, created if need be.
        fingerprint: of recipe, data and base; a folder holds one study only.

    Raises:
        StorageError: the folder cannot be written, or holds another study.
    """

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.out = out
        self.mark = out / "study.json"
        try:
            (out / "stages").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot create {out}: {error.strerror or error}") from error
        if self.mark.exists():
            try:
                found = json.loads(self.mark.read_text())["fingerprint"]
            except (OSError, ValueError, KeyError) as error:
                raise StorageError(f"{self.mark} is not readable: {error}") from error
            if found != fingerprint:
                raise StorageError(
                    f"{out} holds a study with another recipe, data or base; "
                    "choose another --out, or start over with --fresh"
                )
        else:
            write_text_atomically(self.mark, json.dumps({"fingerprint": fingerprint}) + "\n")

    def folder(self, stage: str) -> Path:
        """Where a stage keeps its files."""
        return self.out / "stages" / re.sub(r"[^\w.=,-]", "_", stage)

    def done(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage said, or None."""
        path = self.folder(stage) / "stage.json"
        if not path.exists():
            return None
        try:
            facts: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} is not readable ({error}); remove it to redo") from error
        return facts

    def finish(self, stage: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Mark a stage as done."""
        write_text_atomically(self.folder(stage) / "stage.json", json.dumps(facts) + "\n")
        return facts

    def save_array(self, stage: str, array: np.ndarray) -> None:
        """Keep a forecast beside its stage, before the stage is marked."""
        path = self.folder(stage) / "forecast.npy"
        write_whole(path, lambda to: np.save(to, array.astype(np.float64)), parents=True)

    def array(self, stage: str) -> np.ndarray:
        """The forecast of a finished stage."""
        path = self.folder(stage) / "forecast.npy"
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} is not readable ({error}); remove its folder") from error
