"""The search stage that finds a rival's learning rate, with the FLOPs of the adapter's search."""

from __future__ import annotations

from dataclasses import dataclass, replace

from loracast.studies._facts import StageId
from loracast.studies._recipe import GridPart
from loracast.studies._search import Option, Search
from loracast.studies._stage import Outlook
from loracast.studies._training import FULL, Training

__all__ = ["RivalSearch"]


@dataclass(frozen=True)
class RivalSearch(Search):
    """The grid's learning rates, all weights trained, on windows of the chosen length.

    Args:
        name: of the stage.
        rival: whose rate it is.
        part: rates and repeats; steps are what the FLOPs buy.
        equals: the stages whose FLOPs it gets.
        random_start: of the rival.
    """

    name: str
    rival: str
    part: GridPart
    equals: tuple[str, ...]
    random_start: bool

    @property
    def repeats(self) -> int:
        """Trainings of each rate."""
        return self.part.repeats

    def set_aside(self, outlook: Outlook) -> float:
        """As much as the adapter's search took."""
        return outlook.spent_by(*self.equals)

    def options(self, outlook: Outlook) -> list[Option]:
        """The rates."""
        recipe, settings, rates = outlook.recipe, outlook.settings, self.part.learning_rate

        def affordable() -> int:
            each = outlook.spent_by(*self.equals) / (len(rates) * self.repeats)
            return max(1, outlook.pricer.affordable(each, settings.window, FULL))

        steps = outlook.decided(self.name, affordable)
        return [
            Option(
                Training(
                    StageId(self.name, f"lr={rate:g}"),
                    FULL,
                    recipe.dials(steps, rate),
                    settings.window,
                    self.random_start,
                ),
                replace(settings, rival_rates={**settings.rival_rates, self.rival: rate}),
                rate == recipe.training.learning_rate,
            )
            for rate in rates
        ]
