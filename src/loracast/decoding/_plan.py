"""How much a decoding run will feed through the model, before it runs.

Counts positions and keys, never FLOPs: those are the `flops` room's, from these counts.
Exact for grammars of fixed width; an upper bound where widths vary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loracast.decoding._automaton import Tables, TokenAutomaton, stack
from loracast.errors import ConfigError

__all__ = ["MAX_ROWS", "PREFILL_TOKENS", "Group", "Work", "forced_start", "groups", "plan_work"]

# Measured with benchmarks/forecast.py: more rows do not help on 2 cores and cost memory.
MAX_ROWS = 512
# Tokens of one prefill call, measured likewise.
PREFILL_TOKENS = 4096


@dataclass(frozen=True)
class Work:
    """What was, or would be, fed through the model.

    Args:
        prefill: (rows, padded length) of each prefill call; one position a row meets the head.
        positions: token positions fed while decoding, in all.
        cached: keys attended by them as executed, in all (prefix and suffix, padding included).
        head_positions: positions that met the head while decoding: the LM head, or where numbers
            are sampled the distribution head.
    """

    prefill: tuple[tuple[int, int], ...]
    positions: int
    cached: int
    head_positions: int

    @property
    def prefill_positions(self) -> int:
        """Token positions of all prefill calls, padding included."""
        return sum(rows * length for rows, length in self.prefill)


@dataclass(frozen=True)
class Group:
    """Prompts decoded together: their places in the caller's list, and spans of samples."""

    prompts: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def groups(lengths: Sequence[int], n_samples: int, max_rows: int) -> list[Group]:
    """Prompts of like length together, N x S of a group at most max_rows.

    Where the samples of one prompt alone pass max_rows, they are decoded in several spans
    that share its prefill.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    per_group = max(1, max_rows // n_samples)
    width = min(n_samples, max_rows)
    spans = tuple((a, min(a + width, n_samples)) for a in range(0, n_samples, width))
    return [Group(tuple(order[i : i + per_group]), spans) for i in range(0, len(order), per_group)]


def prefill_calls(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, last + 1, padded length) of each prefill call over ascending lengths."""
    calls = []
    first = 0
    while first < len(lengths):
        last = first + 1
        while last < len(lengths) and (last + 1 - first) * lengths[last] <= PREFILL_TOKENS:
            last += 1
        calls.append((first, last, lengths[last - 1]))
        first = last
    return calls


def forced_start(tables: Tables, state: int, n_steps: int) -> tuple[list[int], int, int]:
    """Columns forced before the first choice, the state they lead to, and the steps left."""
    columns = []
    while n_steps > 0 and tables.forced[state] >= 0:
        column = int(tables.forced[state])
        columns.append(column)
        n_steps -= int(tables.ends_step[state, column])
        state = int(tables.next_state[state, column])
    return columns, state, n_steps


def plan_work(
    prompt_lengths: Sequence[int],
    automaton: TokenAutomaton | Sequence[TokenAutomaton],
    n_steps: int,
    *,
    n_samples: int,
    greedy: bool = False,
    max_rows: int = MAX_ROWS,
    method: str = "prefix",
) -> Work:
    """An upper bound of what `sample_paths` will count; exact where all steps have one width.

    Args:
        prompt_lengths: N prompt lengths, in tokens.
        automaton: one for all prompts, or one per prompt.
        n_steps: H, time steps to sample.
        n_samples: S; greedy decoding runs one row per prompt whatever S is.
        greedy: as in `sample_paths`.
        max_rows: as in `sample_paths`.
        method: "prefix" or "expanded".

    Raises:
        ConfigError: fewer than one step or sample.
    """
    if n_steps < 1 or n_samples < 1:
        raise ConfigError(f"got {n_steps} steps and {n_samples} samples; expected 1 or more")
    n_prompts = len(prompt_lengths)
    automata = [automaton] * n_prompts if isinstance(automaton, TokenAutomaton) else list(automaton)
    tables = stack(automata)
    samples = 1 if greedy else n_samples
    begun = {s: forced_start(tables, s, n_steps) for s in set(tables.starts)}
    lengths = [n + len(begun[s][0]) for n, s in zip(prompt_lengths, tables.starts, strict=True)]
    alive = [i for i in range(n_prompts) if begun[tables.starts[i]][2] > 0]
    profiles = {
        s: _profile(tables, state, left, n_steps)
        for s, (_, state, left) in begun.items()
        if left > 0
    }
    prefill: list[tuple[int, int]] = []
    positions = cached = head = 0
    for group in groups([lengths[i] for i in alive], samples, max_rows):
        members = [alive[i] for i in group.prompts]
        own = [lengths[i] for i in members]
        prefill += [(last - first, width) for first, last, width in prefill_calls(own)]
        each = [profiles[tables.starts[i]] for i in members]
        chunk, reach = _widest([p.chunk for p in each]), _widest([p.reach for p in each])
        keys = int((chunk * (max(own) + reach)).sum())
        for a, b in group.spans:
            rows = (b - a) * len(members)
            cached += rows * keys
            if method == "prefix":
                positions += (b - a) * sum(p.fed for p in each)
                head += (b - a) * sum(len(p.chunk) for p in each)
            else:
                padded = rows * int(chunk.sum())
                uniform = all(p.fixed for p in each) and len({len(p.chunk) for p in each}) == 1
                positions += padded
                head += rows * len(chunk) if uniform else padded
    return Work(tuple(prefill), positions, cached, head)


@dataclass(frozen=True)
class _Profile:
    """Per forward of one row: largest chunk (F,), tokens in its cache after it (F,)."""

    chunk: np.ndarray
    reach: np.ndarray
    fed: int
    fixed: bool


def _widest(arrays: list[np.ndarray]) -> np.ndarray:
    """Elementwise largest of arrays of several lengths, short ones continued by zeros."""
    wide = np.zeros(max(len(a) for a in arrays), dtype=np.int64)
    for array in arrays:
        wide[: len(array)] = np.maximum(wide[: len(array)], array)
    return wide


def _profile(tables: Tables, state: int, left: int, n_steps: int) -> _Profile:
    """Follow every legal path at once: what the widest of them feeds at each forward."""
    edges: dict[int, list[tuple[int, int, int]]] = {}

    def leaving(choice: int) -> list[tuple[int, int, int]]:
        """(state of the next choice, tokens, steps completed) of each distinct way on."""
        if choice not in edges:
            found = set()
            for column in np.flatnonzero(tables.next_state[choice] >= 0):
                tokens = 1
                ended = int(tables.ends_step[choice, column])
                at = int(tables.next_state[choice, column])
                while tables.forced[at] >= 0 and ended < n_steps:
                    only = int(tables.forced[at])
                    tokens += 1
                    ended += int(tables.ends_step[at, only])
                    at = int(tables.next_state[at, only])
                found.add((at, tokens, ended))
            edges[choice] = sorted(found)
        return edges[choice]

    # (state, steps left) -> most tokens fed so far; every entry is waiting to choose.
    frontier = {(state, left): 0}
    chunk: list[int] = []
    reach: list[int] = []
    fed, fixed = 0, True
    while frontier:
        following: dict[tuple[int, int], int] = {}
        widths, ended_here = set(), False
        for (at, steps), tokens in frontier.items():
            for dest, count, ended in leaving(at):
                if ended >= steps:
                    ended_here = True
                    fed = max(fed, tokens)
                    continue
                widths.add(count)
                key = (dest, steps - ended)
                following[key] = max(following.get(key, 0), tokens + count)
        fixed = fixed and len(widths) <= 1 and not (ended_here and following)
        if following:
            chunk.append(max(widths))
            reach.append(max(following.values()))
        frontier = following
    return _Profile(np.array(chunk, np.int64), np.array(reach, np.int64), fed, fixed)
