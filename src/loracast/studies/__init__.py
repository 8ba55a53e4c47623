"""Studies: zero-shot -> default -> grid -> context -> final -> test, from a YAML recipe.

Recipe --stages_of--> list of Stage, which price, run and report themselves
stages + data --run_study--> findings, each cached --> result.json, report.html, adapter/
stages --plan_study--> StudyPlan: what all that will cost
"""

from __future__ import annotations

from loracast.studies._plan import plan_study
from loracast.studies._plan_summary import PlanTable, summarise_plan
from loracast.studies._recipe import Recipe, changed_recipe, load_recipe
from loracast.studies._report import write_report
from loracast.studies._report_data import read_report_data
from loracast.studies._run import run_study
from loracast.studies._schema import StudyResult, read_result

__all__ = [
    "PlanTable",
    "Recipe",
    "StudyResult",
    "changed_recipe",
    "load_recipe",
    "plan_study",
    "read_report_data",
    "read_result",
    "run_study",
    "summarise_plan",
    "write_report",
]
