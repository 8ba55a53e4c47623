"""Sampling numbers with a cache against feeding the whole sequence again at every step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from loracast.backbone import History, Numbers, attach_numeric_head, number_batch, text_body
from loracast.codec import VALUE_CHANNELS
from loracast.decoding import plan_numbers, sample_numbers
from loracast.decoding._sample_numbers import _uniforms
from loracast.errors import ConfigError, DataError, ModelError

from .conftest import build


@dataclass(frozen=True)
class Asked:
    ids: np.ndarray
    numbers: Numbers | None


def _prompt(seed: int, before: int, steps: int, channels: int) -> Asked:
    rng = np.random.default_rng(seed)
    statics = rng.normal(0, 0.3, (channels, 4)).astype(np.float32)
    values = rng.normal(size=(steps, channels)).astype(np.float32)
    return Asked(rng.integers(3, 17, before + steps), Numbers(before, values, statics))


@pytest.fixture(params=["qwen2", "llama", "gpt_neox"])
def model(request: pytest.FixtureRequest) -> Any:
    made = build(request.param)
    interface = attach_numeric_head(made, seed=2)
    with torch.no_grad():
        interface.head_out.weight.normal_(0, 0.3)
    return made.eval()


def _slow(model: Any, prompt: Asked, n_steps: int, seed: int, key: str, sample: int) -> np.ndarray:
    """One path, one row, no cache: the whole sequence again for every step."""
    assert prompt.numbers is not None
    interface, values = model.value_interface, prompt.numbers.values
    uniforms = torch.from_numpy(_uniforms(seed, key, sample, (n_steps, VALUE_CHANNELS, 2))).float()
    n_channels = values.shape[1]
    for t in range(n_steps):
        length = prompt.numbers.start + len(values)
        batch = number_batch(
            [replace(prompt.numbers, values=values)], [0], length, torch.device("cpu")
        )
        assert batch is not None
        history = History.of(batch.values)
        ids = np.zeros(length, dtype=np.int64)
        ids[: len(prompt.ids)] = prompt.ids
        tokens = model.get_input_embeddings()(torch.from_numpy(ids)[None])
        shown = interface.embed(history, batch.observed, batch.present, batch.statics)
        inputs = torch.where(batch.is_value[..., None], shown, tokens)
        with torch.no_grad():
            hidden = text_body(model)(inputs_embeds=inputs).last_hidden_state
            mixture = interface.distribution(hidden, history, batch.statics)
        drawn = mixture.draw(uniforms[None, None, t].expand(1, length, -1, -1))
        values = np.concatenate([values, drawn[0, -1:, :n_channels].numpy()])
    return values[-n_steps:]


def test_a_cached_path_is_that_of_a_full_pass_at_every_step(model: Any) -> None:
    prompts = [_prompt(1, 0, 9, 2), _prompt(2, 3, 14, 1), _prompt(3, 1, 5, 3)]
    keys = ["a", "b", "c"]
    found = sample_numbers(model, prompts, 6, n_samples=3, seed=7, keys=keys)
    for prompt, key, paths in zip(prompts, keys, found.paths, strict=True):
        assert prompt.numbers is not None
        assert paths.shape == (3, 6, prompt.numbers.values.shape[1])
        for sample in range(3):
            slow = _slow(model, prompt, 6, 7, key, sample)
            np.testing.assert_allclose(paths[sample], slow, rtol=2e-3, atol=2e-3)


def test_a_draw_depends_on_its_name_alone(model: Any) -> None:
    prompts = [_prompt(s, 0, 8, 2) for s in range(5)]
    keys = [f"s{i}" for i in range(5)]
    whole = sample_numbers(model, prompts, 4, n_samples=4, seed=1, keys=keys)
    alone = sample_numbers(model, prompts[3:4], 4, n_samples=2, seed=1, keys=keys[3:4])
    narrow = sample_numbers(model, prompts, 4, n_samples=4, seed=1, keys=keys, max_rows=3)
    np.testing.assert_allclose(whole.paths[3][:2], alone.paths[0], atol=1e-4)
    for a, b in zip(whole.paths, narrow.paths, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    other = sample_numbers(model, prompts, 4, n_samples=4, seed=2, keys=keys)
    assert np.abs(other.paths[0] - whole.paths[0]).max() > 1e-3


def test_the_first_step_of_a_pair_is_mirrored() -> None:
    made = build("qwen2")
    attach_numeric_head(
        made, seed=2
    )  # a fresh head: location "as now", one scale for each component
    prompt = _prompt(4, 0, 6, 2)
    assert prompt.numbers is not None
    found = sample_numbers(made, [prompt], 1, n_samples=2, seed=0, keys=["x"]).paths[0]
    now = prompt.numbers.values[-1]
    np.testing.assert_allclose(found[0, 0] - now, now - found[1, 0], atol=1e-5)
    hot = sample_numbers(made, [prompt], 1, n_samples=2, seed=0, keys=["x"], temperature=3.0)
    np.testing.assert_allclose(hot.paths[0][0, 0] - now, 3 * (found[0, 0] - now), rtol=1e-4)


def test_the_plan_is_what_runs(model: Any) -> None:
    prompts = [_prompt(1, 0, 9, 2), _prompt(2, 3, 14, 1)]
    seen: list[int] = []
    fed = {"positions": 0}
    body = text_body(model)

    def count(_module: Any, _args: Any, kwargs: Any) -> None:
        rows, length = kwargs["inputs_embeds"].shape[:2]
        fed["positions"] += rows * length

    handle = body.register_forward_pre_hook(count, with_kwargs=True)
    ran = sample_numbers(
        model, prompts, 5, n_samples=3, seed=0, keys=["a", "b"], max_rows=4, progress=seen.append
    )
    handle.remove()
    planned = plan_numbers([9, 17], 5, n_samples=3, max_rows=4)
    assert (ran.prefill, ran.positions, ran.cached, ran.head_positions) == (
        planned.prefill,
        planned.positions,
        planned.cached,
        planned.head_positions,
    )
    assert fed["positions"] == planned.prefill_positions + planned.positions
    assert sum(seen) == 2 * 3 * 5 == planned.head_positions


def test_refusals() -> None:
    bare = build("qwen2")
    prompt = _prompt(1, 0, 5, 1)
    with pytest.raises(ModelError, match="numeric head"):
        sample_numbers(bare, [prompt], 2, n_samples=1, seed=0, keys=["a"])
    interface = attach_numeric_head(bare, seed=0)
    with pytest.raises(DataError, match="no prompts"):
        sample_numbers(bare, [], 2, n_samples=1, seed=0, keys=[])
    with pytest.raises(DataError, match="distinct"):
        sample_numbers(bare, [prompt, prompt], 2, n_samples=1, seed=0, keys=["a", "a"])
    with pytest.raises(ConfigError, match="n_steps=0"):
        sample_numbers(bare, [prompt], 0, n_samples=1, seed=0, keys=["a"])
    with pytest.raises(DataError, match="end with a number"):
        sample_numbers(bare, [Asked(prompt.ids, None)], 2, n_samples=1, seed=0, keys=["a"])
    with pytest.raises(DataError, match="256"):
        sample_numbers(bare, [_prompt(1, 0, 200, 1)], 100, n_samples=1, seed=0, keys=["a"])
    with torch.no_grad():
        interface.head_out.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        sample_numbers(bare, [prompt], 2, n_samples=1, seed=0, keys=["a"])
