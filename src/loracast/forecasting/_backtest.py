"""A backtest: the adapted model, its base and the classical methods on the same held-out steps.

Knows panels and folders of adapters; how methods are scored is `_compare`'s, where a forecast
begins `_cases`', and what an adapter has seen `_seen`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from loracast.adapters import adapter_folder, check_adapter, read_manifest
from loracast.codec import make_codec
from loracast.errors import ConfigError, DataError
from loracast.evaluation import ADAPTED, COMPARED, METHODS, Trained
from loracast.flops import parse_flops
from loracast.forecasting._cases import Cases, cut_cases, seasons_of
from loracast.forecasting._compare import (
    Row,
    baseline_rows,
    check_methods,
    missing_row,
    model_row,
    scored_horizons,
)
from loracast.forecasting._engine import Engine, scaled_for
from loracast.forecasting._sampling import check_size, constant_notes
from loracast.forecasting._seen import check_seen_rule, choose_unseen, known_until
from loracast.ledger import Ledger
from loracast.series import Panel, facts_of_skipped, left_out, note_of_skipped

__all__ = ["Backtest", "Watcher", "backtest_panel", "compare_methods"]

MODELS = tuple(name for name in COMPARED if METHODS[name].of_model)
UNASKED_SECONDS = 90.0  # a method that nobody named may take about so long


class Watcher(Protocol):
    """Who is told how far a comparison is."""

    def stage(self, name: str, total: int | None) -> None:
        """A method begins; `total` steps are expected, None if unknown."""

    def advance(self, n: int, text: str = "") -> None:
        """So many steps were done."""


@dataclass(frozen=True)
class Backtest:
    """What a backtest found.

    Args:
        rows: method -> `{"h5": {"mae": ..., ...}, "h20": ..., "flops", "seconds", "note"}`.
        facts: JSON facts of what was scored: `n_series`, `n_forecasts`, `context` (as asked for),
            `most_context` (what bounds it where nothing was asked for), `horizon`, `windows`,
            `step`, `season`, `seen` (None without an adapter), `skipped` and `notes`, remarks for
            people.
    """

    rows: dict[str, Row]
    facts: dict[str, Any]


def compare_methods(panel: Panel, **options: Any) -> dict[str, Row]:
    """The rows of `backtest_panel`, with the same arguments."""
    return backtest_panel(panel, **options).rows


def backtest_panel(
    panel: Panel,
    *,
    horizon: int,
    context: int | None = None,
    windows: int = 1,
    step: int | None = None,
    season: int | None = None,
    adapter: str | Path | None = None,
    model: str | None = None,
    codec: Mapping[str, Any] | None = None,
    methods: Sequence[str] | None = None,
    without: Sequence[str] = (),
    samples: int = 20,
    seed: int = 0,
    budget: str | float | None = None,
    train: Panel | None = None,
    seen: str = "auto",
    strict: bool = False,
    watcher: Watcher | None = None,
) -> Backtest:
    """Forecast the ends of all series by every method from the same contexts, and score them.

    Args:
        panel: N series; each is forecast from its last `windows` origins.
        horizon: H steps that are scored after each origin; the last ones end the series.
        context: steps before an origin that every method is given; None gives all there are, up
            to what the language models among the methods are shown.
        windows: K, origins of each series.
        step: steps between origins; None takes H.
        season: steps of a season, for the methods that use one and for MASE; None takes what the
            dates say, else what is found in each context.
        adapter: folder of an adapter; without one, `adapted` is left out.
        model: the base of `zero_shot` (default: the adapter's own, else the embedded one), or
            where the adapter's base is now.
        codec: of `zero_shot` without an adapter (default as in `Engine.open`); with one it is the
            adapter's.
        methods: names, in the order wanted; None takes all of `evaluation.COMPARED` that can run,
            but a classical one that would take more than about 90 s only says so.
        without: of these, those not wanted.
        samples: S paths a series.
        seed: of the draws.
        budget: FLOPs for the language models together; None sets no limit.
        train: series to train a method on that needs it, where no fitted one lies beside the
            adapter.
        seen: what happens to steps that the adapter was trained on or chosen by: "auto" leaves
            them out where others are left, else labels the table; "label" scores them; "drop"
            leaves them out; "refuse" stops.
        strict: stop at a series that cannot be used, instead of leaving it out.
        watcher: told how far it is.

    Returns:
        Scores for the horizons 5, 20 and 30 that fit and the horizon itself, and what was scored.

    Raises:
        DataError: series too short for context and horizon together, or without known values:
            all of them, or, where `strict`, one; or what `seen` refuses.
        ConfigError: an unknown method or rule, or `adapted` without an adapter.
        AdapterError, ModelError: they cannot be loaded.
        BudgetExceeded: the language models' forecasts do not fit.
    """
    if (context is not None and context < 2) or horizon < 1:
        raise DataError(
            f"got context {context} and horizon {horizon}; expected at least 2 and 1 steps"
        )
    if season is not None and season < 1:
        raise ConfigError(f"got season {season}; expected at least 1 step")
    check_seen_rule(seen)
    asked = methods is not None
    if methods is None:
        methods = [m for m in COMPARED if adapter is not None or m != ADAPTED.name]
    methods = [name for name in methods if name not in without]
    check_methods([m for m in methods if m not in MODELS])
    if ADAPTED.name in methods and adapter is None:
        raise ConfigError(
            f"got the method {ADAPTED.name!r} without an adapter; give one (--adapter DIR)"
        )
    if not len(panel):
        raise DataError("got no series; a backtest needs at least one")
    check_size(windows * len(panel), samples, horizon, panel.n_channels)
    limit = None if budget is None else parse_flops(budget)
    opened: dict[str, Engine] = {}
    most = None
    models = [m for m in methods if m in MODELS]
    if context is None and models:
        # Both models read alike: they share base and codec.
        opened[models[0]] = _opened(models[0], adapter, model, codec)
        reader = opened[models[0]]
        if adapter is None:
            reader = scaled_for(reader, panel.values)
        most = max(reader.default_context(values) for values in panel.values)
    cases, skipped, missing = cut_cases(
        panel,
        horizon,
        context=context,
        most=most,
        n_windows=windows,
        step=step,
        strict=strict,
    )
    skipped = (*left_out(panel), *skipped)
    notes = [note_of_skipped(skipped, len(panel) + len(left_out(panel)))]
    if missing:
        notes.append(
            f"{missing} of {missing + len(cases)} forecasts left out: too little stands before "
            "their origins"
        )
    seen_facts = None
    if adapter is not None:
        until, told = known_until(panel, adapter_folder(adapter))
        keep, seen_facts, note = choose_unseen(cases.starts < until[cases.series], seen, told)
        cases = cases.where(keep)
        notes.append(note)
    if models:
        notes.extend(constant_notes([panel.ids[row] for row in cases.series], cases.contexts))
    seasons, season_facts = seasons_of(panel, cases, season)
    facts = {
        "n_series": len(np.unique(cases.series)),
        "n_forecasts": len(cases),
        "context": context,
        "most_context": most,
        "horizon": horizon,
        "windows": windows,
        "step": horizon if step is None else step,
        "season": season_facts,
        "seen": seen_facts,
        "skipped": facts_of_skipped(skipped),
        "notes": [note for note in notes if note],
    }
    horizons = scored_horizons(horizon)
    rows: dict[str, Row] = {}
    with Ledger.in_memory(limit) as ledger:
        for method in methods:
            if method not in MODELS:
                if watcher is not None:
                    watcher.stage(method, None)
                rows[method] = _classical(
                    method, cases, seasons, horizons, seed, asked, adapter, train, watcher
                )
                continue
            engine = opened.pop(method, None) or _opened(method, adapter, model, codec)
            if adapter is None:
                engine = scaled_for(engine, cases.contexts)
            if watcher is not None:
                watcher.stage(method, len(cases) * samples * horizon)
            rows[method], _ = model_row(
                engine,
                cases.contexts,
                cases.keys,
                cases.truth,
                horizons,
                samples=samples,
                seed=seed,
                ledger=ledger,
                stage=method,
                progress=None if watcher is None else watcher.advance,
                seasons=seasons,
            )
    return Backtest(rows, facts)


def _classical(
    method: str,
    cases: Cases,
    seasons: Sequence[int | None],
    horizons: Sequence[int],
    seed: int,
    asked: bool,
    adapter: str | Path | None,
    train: Panel | None,
    watcher: Watcher | None,
) -> Row:
    """The row of a method that is no language model, or why it has no scores."""
    seconds = METHODS[method].expected_seconds(cases.contexts, seasons)
    if not asked and seconds > UNASKED_SECONDS:
        count = sum(context.shape[1] for context in cases.contexts)
        return missing_row(
            horizons,
            f"left out: {count} fits would take about {seconds:.0f} s; name it to have it all the "
            f"same (--methods {method},...)",
        )
    trained = {}
    if METHODS[method].trained is not None:
        trained[method] = _trained(method, adapter, train, seed, watcher)
    found, _ = baseline_rows(
        cases.contexts,
        cases.truth,
        [method],
        seed=seed,
        horizons=horizons,
        trained=trained,
        seasons=seasons,
    )
    return found[method]


def _opened(
    method: str,
    adapter: str | Path | None,
    model: str | None,
    codec: Mapping[str, Any] | None,
) -> Engine:
    """The adapted model, or the base that it was adapted from."""
    if adapter is None:
        made = None if codec is None else make_codec(**dict(codec))
        return Engine.open(model or "embedded", made)
    folder = adapter_folder(adapter)
    if method == ADAPTED.name:
        return Engine.load(folder, model=model)
    manifest = read_manifest(folder)
    return Engine.open(
        model or manifest.model, dict(manifest.codec), random_start=manifest.random_start
    )


def _trained(
    method: str,
    adapter: str | Path | None,
    train: Panel | None,
    seed: int,
    watcher: Watcher | None,
) -> Trained | str:
    """The fitted method, from beside the adapter or trained now, or why there is none."""
    kind, file = METHODS[method].trained, METHODS[method].file
    assert kind is not None
    if adapter is not None:
        for folder in (adapter_folder(adapter), Path(adapter)):
            if (folder / file).is_file():
                check_adapter(adapter_folder(adapter))
                return kind.load(folder / file)
    if train is None:
        return (
            f"not available: no {file} beside the adapter and no series to train it on "
            "(--train-data)"
        )

    def told(done: int, total: int, loss: float) -> None:
        if watcher is not None:
            if done == 1:
                watcher.stage(f"training {method}", total)
            watcher.advance(1, f"loss {loss:.4f}")

    try:
        return kind.fit(train.values, seed=seed, on_step=told)
    except DataError as problem:
        return f"does not apply: {problem}"
