"""Studies: zero-shot -> default -> grid -> context -> final -> test, from a YAML recipe.

Recipe + data --run_study--> stages, each cached --> result.json, report.html, adapter/
Recipe --plan_study--> StudyPlan: what all that will cost
PretrainRecipe --pretrain--> weights of the embedded base
"""

from __future__ import annotations

from loracast.studies._plan import StudyPlan, plan_study
from loracast.studies._recipe import Recipe, changed_recipe, load_recipe
from loracast.studies._report import write_report
from loracast.studies._report_data import read_report_data
from loracast.studies._run import run_study
from loracast.studies._schema import StudyResult, read_result

__all__ = [
    "Recipe",
    "StudyPlan",
    "StudyResult",
    "changed_recipe",
    "load_recipe",
    "plan_study",
    "read_report_data",
    "read_result",
    "run_study",
    "write_report",
]
