"""The folder of a study: which stages are done, under which fingerprint, and what they said.

Knows records and arrays. A stage's file appears whole or not at all, so what exists is done.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeVar

import numpy as np

from loracast.errors import StorageError, faults_in_one_line
from loracast.files import write_whole
from loracast.studies._facts import Facts, StageId
from loracast.studies._schema import write_text_atomically

__all__ = ["Workspace"]

Kind = TypeVar("Kind", bound=Facts)


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

    def folder(self, stage: StageId | str) -> Path:
        """Where a stage keeps its files."""
        return self.out / "stages" / re.sub(r"[^\w.=,-]", "_", str(stage))

    def done(self, stage: StageId | str, kind: type[Kind]) -> Kind | None:
        """What a finished stage left, or None.

        Raises:
            StorageError: its file cannot be read, or is not of that kind.
        """
        path = self.folder(stage) / "stage.json"
        if not path.exists():
            return None
        try:
            return kind.model_validate(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{path} is not readable ({faults_in_one_line(error)}); remove it to redo"
            ) from error

    def finish(self, stage: StageId | str, facts: Kind) -> Kind:
        """Mark a stage as done."""
        text = json.dumps(facts.model_dump(mode="json")) + "\n"
        write_text_atomically(self.folder(stage) / "stage.json", text)
        return facts

    def save_array(self, stage: StageId | str, array: np.ndarray) -> None:
        """Keep a forecast beside its stage, before the stage is marked."""
        path = self.folder(stage) / "forecast.npy"
        write_whole(path, lambda to: np.save(to, array.astype(np.float64)), parents=True)

    def stored_array(self, stage: StageId | str) -> np.ndarray | None:
        """As `array`; None where the stage kept none."""
        return self.array(stage) if (self.folder(stage) / "forecast.npy").exists() else None

    def array(self, stage: StageId | str) -> np.ndarray:
        """The forecast of a finished stage."""
        path = self.folder(stage) / "forecast.npy"
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} is not readable ({error}); remove its folder") from error
