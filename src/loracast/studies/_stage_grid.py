"""The search stage that crosses learning rates and ranks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loracast.studies._facts import Settings, StageId
from loracast.studies._recipe import GridPart, Recipe
from loracast.studies._report_data import GridCell, ReportData
from loracast.studies._search import Option, Search, Tried
from loracast.studies._stage import Outlook
from loracast.studies._state import Findings, Run
from loracast.studies._training import Training

__all__ = ["GridSearch"]


@dataclass(frozen=True)
class GridSearch(Search):
    """Every learning rate with every rank, on full windows."""

    part: GridPart
    name: str = "grid"

    @property
    def repeats(self) -> int:
        """Trainings of each cell."""
        return self.part.repeats

    def options(self, outlook: Outlook) -> list[Option]:
        """The cells, rank by rank within a rate."""
        recipe, part, settings = outlook.recipe, self.part, outlook.settings
        own = (recipe.training.learning_rate, recipe.adapter.rank)
        return [
            Option(
                Training(
                    StageId(self.name, f"lr={rate:g},r={rank}"),
                    recipe.adapter_at(rank),
                    recipe.dials(part.steps, rate),
                    recipe.full_window,
                ),
                replace(settings, learning_rate=rate, rank=rank),
                (rate, rank) == own,
            )
            for rate, rank in itertools.product(part.learning_rate, part.rank)
        ]

    def outcomes(self, recipe: Recipe, settings: Settings) -> list[Settings]:
        """Any rank; learning rates cost the same."""
        del recipe
        return [replace(settings, rank=rank) for rank in sorted({*self.part.rank}, reverse=True)]

    def table(self, run: Run, found: Findings, tried: Sequence[Tried]) -> ReportData:
        """The cells as they did."""
        del run
        cells = []
        for option in tried:
            config = option.trainings[0].config
            rate, rank = config.training.learning_rate, config.adapter.rank
            chosen = (rate, rank) == (found.settings.learning_rate, found.settings.rank)
            cells.append(GridCell(lr=rate, rank=rank, chosen=chosen, **option.record()))
        return ReportData(grid=tuple(cells))
