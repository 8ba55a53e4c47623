"""What a `Forecaster` and an `Annotator` do alike: begin a fit, survive one that fails, save.

Knows an engine and folders; neither frames nor what is forecast or described.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from loracast.adapters import copy_adapter
from loracast.errors import ConfigError, ModelError
from loracast.model._adapted import AdaptedModel
from loracast.model._fit import FitRecord

__all__ = ["Product"]


class _Engine(Protocol):
    model: AdaptedModel


Engine = TypeVar("Engine", bound=_Engine)
Record = TypeVar("Record", bound=FitRecord)


class Product(ABC, Generic[Engine, Record]):
    """A model for people: opened, fitted, asked and saved.

    Every fit starts from what was opened, however often it is called; none learns on from an
    earlier fit of the same object. A fit that fails leaves the object as it was.

    Args:
        engine: the model with its task.
        seed: of all that is random.

    Raises:
        ConfigError: a negative seed.
    """

    def __init__(self, engine: Engine, seed: int) -> None:
        if seed < 0:
            raise ConfigError(f"got seed {seed}; expected 0 or more")
        self.seed = seed
        self.fit_report: Record | None = None
        self._engine = engine
        self._changed = False  # whether a fit that failed has trained the weights of a bare base
        self._saved: Path | None = None

    @property
    def engine(self) -> Engine:
        """The model with its task."""
        if self._changed:
            self._engine, self._changed = self._reopened(), False
        return self._engine

    @abstractmethod
    def _reopened(self) -> Engine:
        """What was opened, once more and ready to be fitted."""

    def _fit(
        self, out: str | Path | None, run: Callable[[Engine, Path], tuple[Engine, Record]]
    ) -> None:
        """Fit what was opened; `run` gives the fitted engine, with its adapter in `adapter/`."""
        folder = self._scratch() if out is None else Path(out)
        engine = self.engine
        if engine.model.adapter is not None:
            engine = self._reopened()  # what is merged cannot be told apart again
        try:
            fitted, report = run(engine, folder)
        except BaseException:
            self._changed = engine is self._engine and engine.model.adapter is not None
            raise
        self._engine, self.fit_report, self._saved = fitted, report, folder / "adapter"

    def save(self, folder: str | Path) -> Path:
        """Write the adapter: a finished folder appears, or none.

        Raises:
            ModelError: nothing is fitted.
            StorageError: the folder cannot be written, or holds something else.
        """
        if self._saved is None:
            raise ModelError("nothing to save: the base is as it came; call fit first")
        folder = Path(folder)
        if not folder.exists() or folder.resolve() != self._saved.resolve():
            copy_adapter(self._saved, folder)
        return folder

    def _scratch(self) -> Path:
        folder = tempfile.mkdtemp(prefix="loracast-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
