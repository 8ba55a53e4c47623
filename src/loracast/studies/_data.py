"""The series of a study: read or generated, split, and cut into context and truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loracast.errors import DataError
from loracast.files import sha256_of
from loracast.series import Panel, classify_regime, read_panel, seen_record, split_panel
from loracast.studies._recipe import Recipe
from loracast.studies._schema import DataInfo
from loracast.synthetic import generate_lotka_volterra

__all__ = ["StudyData", "load_data"]


@dataclass(frozen=True)
class StudyData:
    """Splits of a study's series.

    Args:
        train, validation: panels.
        calibration: training series that no network is trained on, or None.
        evaluated: the test panel, or the validation panel where no series were left for a test.
        info: what the result says of the data.
        contexts: N arrays (context, C) of the evaluated panel.
        truth: (N, H, C), what follows them.
        keys: N names, for random streams.
    """

    train: Panel
    validation: Panel
    calibration: Panel | None
    evaluated: Panel
    info: DataInfo
    contexts: list[np.ndarray]
    truth: np.ndarray
    keys: list[str]

    @property
    def training_values(self) -> list[np.ndarray]:
        """All series before the validation set, those kept back among them."""
        kept = () if self.calibration is None else self.calibration.values
        return [*self.train.values, *kept]

    @property
    def seen(self) -> dict[str, object]:
        """Digests of all series that train, calibrate or choose; the test series are not there."""
        kept = () if self.calibration is None else (self.calibration,)
        return seen_record(self.train, *kept, self.validation)

    def regimes(self) -> list[str]:
        """The regime of each evaluated series, '' where the notion does not apply."""
        if self.evaluated.n_channels != 2:
            return [""] * len(self.evaluated)
        out = []
        for values in self.evaluated.values:
            finite = np.isfinite(values).all() and (values > 0).all()
            out.append(classify_regime(values) if finite else "")
        return out


def _default_split(total: int) -> tuple[int, int]:
    """Series for training and validation when the recipe names none.

    The published protocol splits 1000 systems 800 / 100 / 100 by position; a file that holds the
    first 900 or more of a thousand keeps those places. Otherwise 80 % and 10 %.
    """
    if 900 <= total <= 1000:
        return 800, 100
    return max(1, round(0.8 * total)), max(1, round(0.1 * total))


def load_data(recipe: Recipe) -> StudyData:
    """Read or generate, split in order, and cut.

    Raises:
        DataError: an unreadable file, too few series, or series shorter than context + horizon.
    """
    part = recipe.data
    if part.path is None:
        panel = generate_lotka_volterra(part.generate, seed=part.generate_seed)
        digest = sha256_of(*(values.astype(np.float64) for values in panel.values))
    else:
        panel = read_panel(Path(part.path))
        digest = str(panel.meta["sha256"])
    total = len(panel)
    default_train, default_val = _default_split(total)
    n_train, n_val = part.train or default_train, part.validation or default_val
    if n_train + n_val > total:
        raise DataError(
            f"got {total} series; expected at least {n_train} for training and {n_val} for "
            "validation: set data.train and data.validation in the recipe"
        )
    train, validation, test = split_panel(panel, n_train, n_val)
    # A quarter at most: of few series, more is lost in training than is won in the bands.
    kept = min(recipe.kept_back, n_train // 4)
    calibration = train.select(range(n_train - kept, n_train)) if kept else None
    train = train.select(range(n_train - kept))
    evaluated = test if len(test) else validation
    need = recipe.context + recipe.horizon
    short = [evaluated.ids[i] for i in np.flatnonzero(evaluated.lengths < need)]
    if short:
        raise DataError(
            f"got {len(short)} series shorter than context + horizon = {need} steps, first "
            f"{short[0]!r}; shorten the context or the horizons in the recipe"
        )
    lengths = set(panel.lengths.tolist())
    info = DataInfo(
        kind="generated" if part.path is None else "file",
        path=part.path,
        generator=None
        if part.path
        else {"name": "lotka-volterra", "n": part.generate, "seed": part.generate_seed},
        sha256=digest,
        n_train=n_train,
        n_val=len(validation),
        n_test=len(test),
        evaluated_on="test" if len(test) else "validation",
        n_steps=lengths.pop() if len(lengths) == 1 else None,
        channels=panel.channels,
        context=recipe.context,
    )
    return StudyData(
        train=train,
        validation=validation,
        calibration=calibration,
        evaluated=evaluated,
        info=info,
        contexts=[v[: recipe.context] for v in evaluated.values],
        truth=np.stack([v[recipe.context : need] for v in evaluated.values]),
        keys=[str(i) for i in evaluated.ids],
    )
