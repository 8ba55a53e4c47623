"""Sample complete time steps after many prompts at once.

One loop over numpy tables decides which token comes next; a decoder feeds the model. Nothing
here knows how a decoder keeps its keys and values, nor what a token means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from loracast.decoding._automaton import Tables, TokenAutomaton, stack
from loracast.decoding._choose import choose, uniforms
from loracast.decoding._expanded import ExpandedDecoder
from loracast.decoding._model import CausalModel
from loracast.decoding._plan import MAX_ROWS, Work, forced_start, groups
from loracast.decoding._prefill import Prefix, prefill
from loracast.decoding._prefix import PrefixDecoder
from loracast.errors import ConfigError, DataError, ModelError

__all__ = ["Sampled", "sample_paths"]


@dataclass(frozen=True)
class Sampled(Work):
    """Sampled token paths, and the work they took.

    Args:
        paths: [N][S] arrays (L,) int64 of exactly H complete time steps, forced tokens included.
        method: "prefix" or "expanded", how keys and values were kept.
    """

    paths: list[list[np.ndarray]]
    method: str


@dataclass(frozen=True)
class _Options:
    n_steps: int
    n_samples: int
    seed: int
    temperature: float
    greedy: bool
    progress: Callable[[int], None] | None


def sample_paths(
    model: Any,
    prompts: Sequence[np.ndarray],
    automaton: TokenAutomaton | Sequence[TokenAutomaton],
    n_steps: int,
    *,
    n_samples: int,
    seed: int,
    keys: Sequence[str],
    temperature: float = 1.0,
    greedy: bool = False,
    max_rows: int = MAX_ROWS,
    method: str = "auto",
    dtype: torch.dtype | None = None,
    progress: Callable[[int], None] | None = None,
) -> Sampled:
    """Continue each prompt by S sampled paths of H complete time steps.

    A prompt is fed once, whatever S is. Illegal tokens have probability zero, forced ones cost
    no forward of their own. The uniform behind each choice depends on (seed, key, sample, token
    index) alone.

    Args:
        model: a Hugging Face causal LM, possibly with PEFT around it, in evaluation mode.
        prompts: N arrays (L_n,) of token ids.
        automaton: what may follow, for all prompts or one for each.
        n_steps: H, time steps to sample.
        n_samples: S paths per prompt.
        seed: of the run.
        keys: N distinct names, the stable identity of each prompt.
        temperature: divides the logits, > 0.
        greedy: take the most probable legal token; all S paths of a prompt are then the same.
        max_rows: most rows (N x S) decoded at once; bounds the memory.
        method: "prefix" shares each prompt's keys and values among its samples, "expanded"
            copies them, "auto" takes the first where the model's attention is pluggable.
        dtype: autocast to this type while computing; None computes as the weights are.
        progress: called with the number of time steps just completed; they sum to N x S x H
            (N x H where greedy).

    Returns:
        Paths in the order of the prompts, and the work counted.

    Raises:
        DataError: no prompts, an empty prompt, ids outside the vocabulary, repeated keys, or a
            prompt that with its forecast is longer than the model's positions.
        ConfigError: an option out of range.
        ModelError: a model that is in training mode, or cannot be decoded this way.
    """
    automata = _check(prompts, automaton, keys, n_steps, n_samples, temperature, max_rows)
    lm = CausalModel(model, dtype)
    method = _method(lm, method)
    tables = stack(automata)
    samples = 1 if greedy else n_samples
    options = _Options(n_steps, samples, seed, temperature, greedy, progress)

    begun = {s: forced_start(tables, s, n_steps) for s in set(tables.starts)}
    heads = [tables.token_ids[begun[s][0]] for s in tables.starts]
    whole = [
        np.concatenate([np.asarray(p, dtype=np.int64), h])
        for p, h in zip(prompts, heads, strict=True)
    ]
    alive = [i for i, s in enumerate(tables.starts) if begun[s][2] > 0]
    room = [n_steps * a.max_tokens_per_step for a in automata]
    _check_fit(lm, [len(p) + r for p, r in zip(prompts, room, strict=True)], prompts, keys)

    paths: list[list[np.ndarray]] = [[h.copy() for _ in range(samples)] for h in heads]
    calls: list[tuple[int, int]] = []
    positions = cached = head_positions = 0
    token_ids = torch.as_tensor(tables.token_ids, device=lm.device)
    kinds: dict[str, type[PrefixDecoder | ExpandedDecoder]]
    kinds = {"prefix": PrefixDecoder, "expanded": ExpandedDecoder}
    if progress is not None and len(alive) < len(prompts):
        progress((len(prompts) - len(alive)) * samples * n_steps)
    with lm.computing():
        for group in groups([len(whole[i]) for i in alive], samples, max_rows):
            members = [alive[i] for i in group.prompts]
            prefix = prefill(lm, [whole[i] for i in members], token_ids)
            calls += prefix.calls
            for span in group.spans:
                limit = max(room[i] - len(heads[i]) for i in members)
                decoder = kinds[method](lm, prefix, span[1] - span[0], limit, token_ids)
                begin = [(keys[i], begun[tables.starts[i]], room[i]) for i in members]
                found = _decode(decoder, prefix, tables, begin, span, options)
                for i, rows in zip(members, found, strict=True):
                    paths[i][span[0] : span[1]] = rows
                positions += decoder.positions
                cached += decoder.cached
                head_positions += decoder.head_positions
    if greedy:
        paths = [[rows[0].copy() for _ in range(n_samples)] for rows in paths]
    return Sampled(tuple(calls), positions, cached, head_positions, paths, method)


def _decode(
    decoder: PrefixDecoder | ExpandedDecoder,
    prefix: Prefix,
    tables: Tables,
    begin: list[tuple[str, tuple[list[int], int, int], int]],
    span: tuple[int, int],
    options: _Options,
) -> list[list[np.ndarray]]:
    """Run one group to the end; [N][span] paths."""
    n_prompts, n_samples = len(begin), span[1] - span[0]
    n_rows, most = n_prompts * n_samples, max(room for _, _, room in begin)
    legal = tables.legal
    path = np.zeros((n_rows, most), dtype=np.int64)
    draws = np.empty((n_rows, 0 if options.greedy else most))
    state, length, left = (np.zeros(n_rows, dtype=np.int64) for _ in range(3))
    for n, (key, (columns, after, steps), _) in enumerate(begin):
        own = slice(n * n_samples, (n + 1) * n_samples)
        path[own, : len(columns)] = tables.token_ids[columns]
        state[own], length[own], left[own] = after, len(columns), steps
        if not options.greedy:
            for s in range(*span):
                draws[n * n_samples + s - span[0]] = uniforms(options.seed, key, s, most)
    offset = length.copy()  # tokens that the prefill has fed already
    done = int(options.n_steps * n_rows - left.sum())

    rows = np.arange(n_rows)
    logits = np.repeat(prefix.logits, n_samples, axis=0)
    while True:
        fed = length[rows]
        column = choose(
            logits,
            legal[state[rows]],
            None if options.greedy else draws[rows, fed],
            temperature=options.temperature,
        )
        moving = rows
        while moving.size:
            path[moving, length[moving]] = tables.token_ids[column]
            length[moving] += 1
            left[moving] -= tables.ends_step[state[moving], column]
            state[moving] = tables.next_state[state[moving], column]
            moving = moving[(left[moving] > 0) & (tables.forced[state[moving]] >= 0)]
            column = tables.forced[state[moving]]
        now = int(options.n_steps * n_rows - left.sum())
        if options.progress is not None and now > done:
            options.progress(now - done)
        done = now
        on = left[rows] > 0
        rows, fed = rows[on], fed[on]
        if not rows.size:
            break
        counts = length[rows] - fed
        places = np.minimum(fed[:, None] + np.arange(counts.max())[None], most - 1)
        logits = decoder.feed(rows, path[rows[:, None], places], counts, fed - offset[rows])
    return [
        [path[r, : length[r]].copy() for r in range(n * n_samples, (n + 1) * n_samples)]
        for n in range(n_prompts)
    ]


def _method(lm: CausalModel, method: str) -> str:
    if method not in ("auto", "prefix", "expanded"):
        raise ConfigError(
            f"got decoding method {method!r}; expected 'auto', 'prefix' or 'expanded'"
        )
    if method == "prefix" and not lm.shares_prefix:
        raise ModelError(
            f"got method='prefix' for {type(lm.base).__name__}, whose attention does not go "
            "through transformers' AttentionInterface; use method='expanded' or 'auto'"
        )
    if method == "auto":
        return "prefix" if lm.shares_prefix else "expanded"
    return method


def _check(
    prompts: Sequence[np.ndarray],
    automaton: TokenAutomaton | Sequence[TokenAutomaton],
    keys: Sequence[str],
    n_steps: int,
    n_samples: int,
    temperature: float,
    max_rows: int,
) -> list[TokenAutomaton]:
    """One automaton per prompt, once everything that can be judged without a model is."""
    if len(prompts) == 0:
        raise DataError("got no prompts to decode; expected at least one")
    for name, number in (("n_steps", n_steps), ("n_samples", n_samples), ("max_rows", max_rows)):
        if number < 1:
            raise ConfigError(f"decoding: got {name}={number}; expected 1 or more")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(
            f"decoding: got temperature={temperature}; expected a number > 0; "
            "for the most probable path use greedy=True"
        )
    if len(keys) != len(prompts):
        raise DataError(
            f"decoding: got {len(keys)} keys for {len(prompts)} prompts; expected one each"
        )
    if len(set(keys)) != len(keys):
        twice = next(k for i, k in enumerate(keys) if k in keys[:i])
        raise DataError(
            f"decoding: got the key {twice!r} more than once; expected a distinct key per prompt, "
            "since it names the random stream"
        )
    if isinstance(automaton, TokenAutomaton):
        automata = [automaton] * len(prompts)
    else:
        automata = list(automaton)
    if len(automata) != len(prompts):
        raise DataError(
            f"decoding: got {len(automata)} automata for {len(prompts)} prompts; "
            "expected one for all, or one each"
        )
    for prompt, key, own in zip(prompts, keys, automata, strict=True):
        ids = np.asarray(prompt)
        if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
            raise DataError(
                f"prompt {key!r}: got shape {ids.shape} of {ids.dtype}; "
                "expected at least one integer token id (L,)"
            )
        if ids.min() < 0 or ids.max() >= own.n_tokens:
            raise DataError(
                f"prompt {key!r}: got token ids from {ids.min()} to {ids.max()}; "
                f"expected 0 to {own.n_tokens - 1}, the automaton's vocabulary"
            )
    return automata


def _check_fit(
    lm: CausalModel, totals: list[int], prompts: Sequence[np.ndarray], keys: Sequence[str]
) -> None:
    for what, limit in (("positions", lm.max_positions), ("sliding window", lm.window)):
        if limit is None:
            continue
        for total, prompt, key in zip(totals, prompts, keys, strict=True):
            if total > limit:
                raise DataError(
                    f"prompt {key!r}: got {len(prompt)} tokens and up to {total - len(prompt)} to "
                    f"forecast; expected at most {limit} in all, the model's {what}; "
                    "shorten the context or the horizon"
                )
