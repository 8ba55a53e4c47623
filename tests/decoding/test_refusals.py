"""Everything a caller can get wrong is one clear line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loracast.decoding import plan_work, sample_paths
from loracast.errors import ConfigError, DataError, LoracastError, ModelError

from .conftest import build, fixed_width, prompts_of


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"prompts": [], "keys": []}, DataError, "no prompts"),
        ({"prompts": [np.array([], dtype=np.int64)] * 2}, DataError, "at least one integer"),
        ({"prompts": [np.zeros((2, 2), dtype=np.int64)] * 2}, DataError, r"shape \(2, 2\)"),
        ({"prompts": [np.array([0.5])] * 2}, DataError, "float64"),
        ({"prompts": [np.array([1]), np.array([17])]}, DataError, "'b': got token ids from 17"),
        ({"prompts": [np.array([1]), np.array([-1])]}, DataError, "from -1"),
        ({"keys": ["a", "a"]}, DataError, "'a' more than once"),
        ({"keys": ["a"]}, DataError, "1 keys for 2 prompts"),
        ({"automaton": [fixed_width()]}, DataError, "1 automata for 2 prompts"),
        ({"n_steps": 0}, ConfigError, "n_steps=0"),
        ({"n_samples": 0}, ConfigError, "n_samples=0"),
        ({"max_rows": 0}, ConfigError, "max_rows=0"),
        ({"temperature": 0.0}, ConfigError, "greedy=True"),
        ({"temperature": float("nan")}, ConfigError, "temperature=nan"),
        ({"method": "fast"}, ConfigError, "'fast'"),
        ({"prompts": prompts_of([5, 250])}, DataError, "'b': got 250 tokens .* at most 256"),
        ({"n_steps": 50}, DataError, "up to 300 to forecast"),
    ],
)
def test_each_is_refused(change, kind, message):
    call = {
        "prompts": prompts_of([5, 6]),
        "automaton": fixed_width(),
        "n_steps": 2,
        "n_samples": 2,
        "seed": 0,
        "keys": ["a", "b"],
    }
    with pytest.raises(kind, match=message) as caught:
        sample_paths(build("qwen2"), **{**call, **change})
    assert isinstance(caught.value, LoracastError)
    assert "\n" not in str(caught.value)


def refuse(model, message, **options):
    with pytest.raises(ModelError, match=message):
        sample_paths(
            model, prompts_of([5]), fixed_width(), 2, n_samples=1, seed=0, keys=["a"], **options
        )


def test_models_that_cannot_be_decoded_so_are_refused():
    refuse(build("qwen2").train(), r"call model\.eval\(\)")
    refuse(build("gptj"), "method='expanded'", method="prefix")
    broken = build("qwen2")
    torch.nn.init.constant_(broken.lm_head.weight, float("nan"))
    refuse(broken, "not finite")


def test_attention_that_claims_the_interface_and_goes_round_it_is_noticed():
    model = build("gptj")
    model._supports_attention_backend = True
    refuse(model, r"got 0 attention layers .* method='expanded'", method="auto")


@pytest.mark.parametrize(
    "options", [{"n_steps": 0, "n_samples": 1}, {"n_steps": 1, "n_samples": 0}]
)
def test_a_plan_for_nothing_is_refused(options):
    with pytest.raises(ConfigError, match="expected 1 or more"):
        plan_work([5], fixed_width(), options["n_steps"], n_samples=options["n_samples"])
