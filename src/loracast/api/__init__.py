"""Where data, model and budget meet: `Forecaster` for people, `Engine` for what is built on it."""

from loracast.api._engine import Engine, FitPlan
from loracast.api._forecaster import Forecaster

__all__ = ["Engine", "FitPlan", "Forecaster"]
