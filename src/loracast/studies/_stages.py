"""The stages that a recipe asks for, in their order; nothing else knows it."""

from __future__ import annotations

from loracast.studies._recipe import Recipe
from loracast.studies._search import Search
from loracast.studies._stage import Stage
from loracast.studies._stage_classical import Classical
from loracast.studies._stage_context import ContextSearch
from loracast.studies._stage_default import DefaultTraining
from loracast.studies._stage_final import FinalTraining
from loracast.studies._stage_forecasts import ModelForecasts
from loracast.studies._stage_grid import GridSearch
from loracast.studies._stage_rival_search import RivalSearch
from loracast.studies._stage_test_contexts import ContextTests
from loracast.studies._training import FULL

__all__ = ["stages_of"]


def stages_of(recipe: Recipe) -> list[Stage]:
    """What is planned, run and reported, one after the other."""
    methods = (*recipe.baselines, *(("global_mlp",) if recipe.global_mlp_steps else ()))
    searches: list[Search] = []
    if recipe.grid is not None:
        searches.append(GridSearch(recipe.grid))
    if recipe.contexts is not None:
        searches.append(ContextSearch(recipe.contexts))
    searched = tuple(search.name for search in searches)
    later: list[Stage] = [ModelForecasts("test", "adapted", "final")]
    if recipe.test_contexts:
        later.append(ContextTests(recipe.test_contexts, model="final", whole="test"))
    for rival in recipe.rivals:
        fresh = rival == "random_start"
        if recipe.grid is not None:
            later.append(RivalSearch(f"search_{rival}", rival, recipe.grid, searched, fresh))
        later.append(FinalTraining(rival, FULL, fresh, equals="final"))
        later.append(ModelForecasts(f"test_{rival}", rival, rival))
    return [
        Classical(methods),
        ModelForecasts("zero_shot", "zero_shot"),
        DefaultTraining(),
        *searches,
        FinalTraining(later=tuple(later)),
        *later,
    ]
