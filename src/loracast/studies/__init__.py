"""Studies: zero-shot -> default -> grid -> context -> final -> test, from a YAML recipe.

Recipe + data --run_study--> stages, each cached --> result.json, report.html, adapter/
Recipe --plan_study--> StudyPlan: what all that will cost
PretrainRecipe --pretrain--> weights of the embedded base
"""

from __future__ import annotations

from loracast.studies._data import StudyData, load_data
from loracast.studies._plan import Choice, StudyPlan, plan_study
from loracast.studies._pretrain import PretrainRecipe, load_pretrain_recipe, pretrain
from loracast.studies._recipe import Recipe, changed_recipe, load_recipe
from loracast.studies._report import write_report
from loracast.studies._run import run_study
from loracast.studies._schema import StudyResult, make_verdict, read_result
from loracast.studies._stages import StudyProgress

__all__ = [
    "Choice",
    "PretrainRecipe",
    "Recipe",
    "StudyData",
    "StudyPlan",
    "StudyProgress",
    "StudyResult",
    "changed_recipe",
    "load_data",
    "load_pretrain_recipe",
    "load_recipe",
    "make_verdict",
    "plan_study",
    "pretrain",
    "read_result",
    "run_study",
    "write_report",
]
