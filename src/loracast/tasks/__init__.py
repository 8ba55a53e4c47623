"""What the model is asked to do: window -> prompt and target, symbols -> answer."""

from loracast.tasks._example import IGNORED, Example, Numbers
from loracast.tasks._forecast import ForecastTask, Prompt
from loracast.tasks._windows import ForecastWindows

__all__ = ["IGNORED", "Example", "ForecastTask", "ForecastWindows", "Numbers", "Prompt"]
