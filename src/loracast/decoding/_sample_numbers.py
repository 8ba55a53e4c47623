"""Sample paths of numbers: prefill each context once, then one decode step a time step.

The counterpart of `sample_paths` for models with a numeric head. Knows normalised values, not
units; a range that values must stay in is the caller's to give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from loracast.backbone import History, Mixed, embed_mixed, left_padded, number_batch, text_body
from loracast.backbone import numeric_head_of as interface_of
from loracast.codec import VALUE_CHANNELS
from loracast.decoding._model import CausalModel
from loracast.decoding._plan import MAX_ROWS, Work, groups
from loracast.errors import ConfigError, DataError, ModelError

__all__ = ["SampledNumbers", "plan_numbers", "sample_numbers"]


@dataclass(frozen=True)
class SampledNumbers(Work):
    """Sampled normalised paths, and the work they took.

    Args:
        paths: [N] arrays (S, H, C) float64.
        held: [N] arrays (S,) bool, whether a path met a limit.
    """

    paths: list[np.ndarray]
    held: list[np.ndarray]


def _uniforms(seed: int, key: str, sample: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniforms of one path. Samples 2j and 2j+1 mirror each other: an antithetic pair.

    Depends on (seed, key, sample, place) alone. Antithetic variates: Hammersley and Morton 1956.
    """
    name = f"loracast-values:{int(seed)}:{int(sample) // 2}:{key}".encode()
    digest = hashlib.blake2b(name, digest_size=16).digest()
    bits = np.random.Philox(key=np.frombuffer(digest, dtype="<u8").astype(np.uint64))
    drawn = np.random.Generator(bits).random(shape)
    if sample % 2:
        drawn[..., 1] = 1.0 - drawn[..., 1]
    return drawn


def plan_numbers(
    lengths: Sequence[int], n_steps: int, *, n_samples: int, max_rows: int = MAX_ROWS
) -> Work:
    """What `sample_numbers` will feed, exactly.

    Args:
        lengths: N prompt lengths in positions.
        n_steps: H.
        n_samples: S.
        max_rows: as in `sample_numbers`.
    """
    calls: list[tuple[int, int]] = []
    positions = cached = answered = 0
    for group in groups(lengths, n_samples, max_rows):
        members = [lengths[i] for i in group.prompts]
        longest = max(members)
        for first, last in group.spans:
            calls.append((len(members), longest))
            rows = len(members) * (last - first)
            positions += rows * (n_steps - 1)
            cached += rows * sum(longest + t for t in range(1, n_steps))
            answered += rows * n_steps
    return Work(tuple(calls), positions, cached, answered)


def sample_numbers(
    model: Any,
    prompts: Sequence[Mixed],
    n_steps: int,
    *,
    n_samples: int,
    seed: int,
    keys: Sequence[str],
    temperature: float = 1.0,
    max_rows: int = MAX_ROWS,
    dtype: torch.dtype | None = None,
    progress: Callable[[int], None] | None = None,
    limits: Sequence[np.ndarray] | None = None,
) -> SampledNumbers:
    """Continue each prompt by S sampled paths of H steps.

    Samples come in antithetic pairs, so that their median is steady at small S. The draw of a path
    depends on (seed, key, sample) alone.

    Args:
        model: a causal LM with a numeric head, in evaluation mode.
        prompts: N encoded contexts that end with a number.
        n_steps: H.
        n_samples: S.
        seed: of the draws.
        keys: N distinct stable names.
        temperature: multiplies the scale of every step's distribution, > 0.
        max_rows: rows (N x S) decoded at once; bounds the memory.
        dtype: autocast to this type while computing; None computes as the weights are.
        progress: called with the number of steps just sampled, N x S x H in all.
        limits: N arrays (2, C), the lowest and highest value of a path; a value beyond is held
            there before it is fed back. None sets none.

    Raises:
        DataError: no prompts, repeated keys, or a prompt that does not end with a number.
        ConfigError: an option out of range.
        ModelError: no numeric head, training mode, or numbers that are no longer finite.
    """
    if not prompts:
        raise DataError("got no prompts; expected at least one series")
    if len(set(keys)) != len(prompts):
        raise DataError(f"got {len(set(keys))} distinct keys for {len(prompts)} prompts")
    if n_steps < 1 or n_samples < 1 or temperature <= 0 or max_rows < 1:
        raise ConfigError(
            f"got n_steps={n_steps}, n_samples={n_samples}, temperature={temperature}, "
            f"max_rows={max_rows}; expected each above 0"
        )
    if interface_of(model) is None:
        raise ModelError("got a model without a numeric head; fit it with codec 'continuous'")
    lm = CausalModel(model, dtype)
    lengths, channels = [len(p.ids) for p in prompts], []
    for prompt, key, length in zip(prompts, keys, lengths, strict=True):
        shown = prompt.numbers
        if shown is None or shown.start + len(shown.values) != length:
            raise DataError(f"series {key!r}: got a prompt that does not end with a number")
        channels.append(shown.values.shape[1])
    limit = lm.max_positions
    if limit is not None and max(lengths) + n_steps > limit:
        raise DataError(
            f"got {max(lengths)} positions and {n_steps} steps to forecast; the model has {limit} "
            "positions: shorten the context or the horizon"
        )
    work = plan_numbers(lengths, n_steps, n_samples=n_samples, max_rows=max_rows)
    paths: list[np.ndarray] = [np.empty(0)] * len(prompts)
    held: list[np.ndarray] = [np.empty(0, dtype=bool)] * len(prompts)
    with lm.computing():
        for group in groups(lengths, n_samples, max_rows):
            members = [prompts[i] for i in group.prompts]
            found = [
                _span(
                    lm,
                    members,
                    [keys[i] for i in group.prompts],
                    n_steps,
                    span,
                    seed,
                    temperature,
                    progress,
                    None if limits is None else [limits[i] for i in group.prompts],
                )
                for span in group.spans
            ]
            for place, i in enumerate(group.prompts):
                whole = np.concatenate([f[0][place] for f in found])[..., : channels[i]]
                held[i] = np.concatenate([f[1][place] for f in found])
                if not np.isfinite(whole).all():
                    raise ModelError(
                        f"series {keys[i]!r}: got forecasts that are not finite; the weights or "
                        "the adapter are broken"
                    )
                paths[i] = whole
    return SampledNumbers(
        work.prefill, work.positions, work.cached, work.head_positions, paths, held
    )


def _span(
    lm: CausalModel,
    prompts: Sequence[Mixed],
    keys: Sequence[str],
    n_steps: int,
    span: tuple[int, int],
    seed: int,
    temperature: float,
    progress: Callable[[int], None] | None,
    limits: Sequence[np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Samples span[0]..span[1] of every prompt: (N, S, H, C) normalised, and (N, S) held ones."""
    interface = interface_of(lm.model)
    assert interface is not None
    body, device = text_body(lm.model), lm.device
    count = span[1] - span[0]
    ids, mask = left_padded([p.ids for p in prompts])
    length = ids.shape[1]
    pads = [length - len(p.ids) for p in prompts]
    numbers = number_batch([p.numbers for p in prompts], pads, length, device)
    assert numbers is not None
    history = History.of(numbers.values)
    inputs = embed_mixed(lm.model, torch.from_numpy(ids).to(device), numbers, history)
    attention = torch.from_numpy(mask).to(device) if any(pads) else None
    positions = (torch.from_numpy(mask).to(device).cumsum(1) - 1).clamp(min=0)
    out = body(
        inputs_embeds=inputs,
        attention_mask=attention,
        position_ids=positions,
        use_cache=True,
    )
    cache = out.past_key_values
    cache.batch_repeat_interleave(count)

    def each(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.repeat_interleave(count, 0)

    draws = np.stack(
        [
            _uniforms(seed, key, sample, (n_steps, VALUE_CHANNELS, 2))
            for key in keys
            for sample in range(*span)
        ]
    )
    uniforms = torch.from_numpy(draws).to(device=device, dtype=torch.float32)
    hidden = each(out.last_hidden_state[:, -1:])
    history = History(each(history.values[:, -1:]))
    statics, present = each(numbers.statics), each(numbers.present)
    observed = present[:, None, :]
    position = each(positions[:, -1:])
    if attention is not None:
        attention = each(attention)
    bounds = np.zeros((2, len(prompts), 1, VALUE_CHANNELS), dtype=np.float32)
    bounds[0], bounds[1] = -np.inf, np.inf
    for row, limit in enumerate(limits or ()):
        bounds[:, row, 0, : limit.shape[1]] = limit
    low, high = (each(torch.from_numpy(bound).to(device)) for bound in bounds)
    held = torch.zeros(len(uniforms), dtype=torch.bool, device=device)
    steps = []
    for t in range(n_steps):
        mixture = interface.distribution(hidden, history, statics)
        if temperature != 1.0:
            mixture = mixture.spread_by(temperature)
        drawn = mixture.draw(uniforms[:, None, t])
        value = drawn.clamp(low, high)
        held |= (value != drawn).flatten(1).any(1)
        steps.append(value)
        if progress is not None:
            progress(len(value))
        if t == n_steps - 1:
            break
        history = history.then(value)
        position = position + 1
        if attention is not None:
            attention = torch.cat([attention, attention.new_ones(len(attention), 1)], 1)
        hidden = body(
            inputs_embeds=interface.embed(history, observed, present, statics).to(inputs.dtype),
            attention_mask=attention,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
    path = torch.cat(steps, 1).double().cpu().numpy()
    met = held.cpu().numpy().reshape(len(prompts), count)
    return path.reshape(len(prompts), count, n_steps, VALUE_CHANNELS), met
