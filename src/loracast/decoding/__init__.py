"""Prefill once, sample many, under a token automaton.

    prompts (L_n,) --prefill, left-padded--> shared prefix K and V per prompt
                                                  |
    TokenAutomaton --legal tokens, forced tokens--> sample loop --> paths [N][S] of token ids

Knows nothing of numbers, codecs' meaning or tasks: token ids in, token ids out.
"""

from __future__ import annotations

from loracast.decoding._automaton import TokenAutomaton
from loracast.decoding._guide import Alternatives, Guide
from loracast.decoding._guided import Guided, GuidedAnswer, guided_answers, plan_guided
from loracast.decoding._plan import MAX_ROWS, Work, plan_work
from loracast.decoding._sample import Sampled, sample_paths
from loracast.decoding._sample_numbers import SampledNumbers, plan_numbers, sample_numbers

__all__ = [
    "MAX_ROWS",
    "Alternatives",
    "Guide",
    "Guided",
    "GuidedAnswer",
    "Sampled",
    "SampledNumbers",
    "TokenAutomaton",
    "Work",
    "guided_answers",
    "plan_guided",
    "plan_numbers",
    "plan_work",
    "sample_numbers",
    "sample_paths",
]
