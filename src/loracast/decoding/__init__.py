"""Prefill once, sample many, under a token automaton.

    prompts (L_n,) --prefill, left-padded--> shared prefix K and V per prompt
                                                  |
    TokenAutomaton --legal tokens, forced tokens--> sample loop --> paths [N][S] of token ids

Knows nothing of numbers, codecs' meaning or tasks: token ids in, token ids out.
"""

from __future__ import annotations

from loracast.decoding._automaton import TokenAutomaton
from loracast.decoding._guide import Choice, Guide
from loracast.decoding._guided import Guided, GuidedAnswer, guided_answers, plan_guided
from loracast.decoding._plan import MAX_ROWS, Work, plan_work
from loracast.decoding._sample import Sampled, sample_paths
from loracast.decoding._values import SampledValues, plan_values, sample_values

__all__ = [
    "MAX_ROWS",
    "Choice",
    "Guide",
    "Guided",
    "GuidedAnswer",
    "Sampled",
    "SampledValues",
    "TokenAutomaton",
    "Work",
    "guided_answers",
    "plan_guided",
    "plan_values",
    "plan_work",
    "sample_paths",
    "sample_values",
]
