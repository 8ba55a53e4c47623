"""The forecaster for people: frames in, forecasts with uncertainty out, within a budget.

Knows frames and panels; the work is the `Engine`'s. Everything the language model does is
charged to a ledger first, also where no budget was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import narwhals as nw
import numpy as np

from loracast.adapters import AdapterConfig, adapter_folder
from loracast.codec import Codec, make_codec
from loracast.errors import BudgetExceeded, ConfigError, DataError
from loracast.flops import format_flops, parse_flops
from loracast.forecasting._engine import Engine, scaled_for
from loracast.forecasting._fitting import FitReport, run_fit
from loracast.forecasting._plot import draw_forecast
from loracast.forecasting._quantiles import (
    DEFAULT_SAMPLES,
    check_levels,
    check_quantiles,
    enough_samples,
    intervals,
    sample_quantiles,
)
from loracast.forecasting._sampling import (
    ForecastReport,
    frame_of_samples,
    panel_flops,
    sample_panel,
)
from loracast.ledger import Ledger
from loracast.model import Product, spending, validated
from loracast.series import (
    Panel,
    Skipped,
    as_panel,
    backtest_frame,
    left_out,
    require_known,
    rolling_origins,
    usable_series,
    warn_of_skipped,
)
from loracast.training import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Forecaster"]

DEFAULT_MAX_STEPS = 300


class Columns(TypedDict, total=False):
    """Names of columns where they are not the usual ones, and whether to sort rows by time."""

    id_col: str | None
    time_col: str | None
    target_cols: Sequence[str] | None
    sort: bool


class Sampling(TypedDict, total=False):
    """How a forecast is drawn: see `Forecaster.predict`."""

    n_samples: int | None
    context: int | None
    budget: str | float | None
    ledger: Ledger | None
    progress: Callable[[int], None] | None
    force: bool
    widen: bool | None


def _known(options: Mapping[str, Any], allowed: type, method: str) -> None:
    """Refuse keywords that nothing would read.

    Raises:
        ConfigError: one of them, with the nearest name that exists.
    """
    names = list(allowed.__annotations__)
    for name in options:
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise ConfigError(
                f"{method} got the keyword {name!r}; "
                + (f"did you mean {near[0]}? " if near else "")
                + f"expected some of {', '.join(names)}"
            )


class Forecaster(Product[Engine, FitReport]):
    """A language model that forecasts time series, zero-shot or fitted with LoRA.

        from loracast import Forecaster

        forecaster = Forecaster.from_pretrained()
        forecaster.fit(frame, budget="1e13")
        forecaster.predict(12, level=[80])

    Build one with `from_pretrained` or `load`. `fit_report` and `forecast_report` say what the
    last fit and the last forecast did and cost.

    Args:
        engine: the model with its codec.
        seed: of adapter weights, training order and samples; the same seed gives the same answer.
        n_samples: S, sampled paths per series; None draws 20, or more where a level wants more.
    """

    def __init__(self, engine: Engine, *, seed: int = 0, n_samples: int | None = None) -> None:
        if n_samples is not None and n_samples < 1:
            raise ConfigError(f"got {n_samples} samples; expected at least 1")
        super().__init__(engine, seed)
        self.n_samples, self._codec = n_samples, engine.codec
        self.forecast_report: ForecastReport | None = None
        self._panel: Panel | None = None
        self._columns: Columns = {}

    @classmethod
    def from_pretrained(
        cls,
        model: str = "embedded",
        codec: str | Mapping[str, Any] | Codec | None = None,
        *,
        seed: int = 0,
        n_samples: int | None = None,
    ) -> Forecaster:
        """A forecaster on a pretrained base, able to forecast zero-shot.

        Args:
            model: 'embedded', a local folder, or a hub id.
            codec: how numbers are written: a preset's name, `{"name": ..., option: ...}`, or a
                codec; default `continuous` where the model brings a numeric head, as the
                embedded one does, else `compact`.
            seed: of everything random.
            n_samples: S, sampled paths per series; None draws 20, or more where a level wants more.

        Raises:
            ModelError: the model cannot be loaded, or its tokenizer does not suit the codec.
            CodecError: unknown codec or option.
        """
        if isinstance(codec, str):
            codec = {"name": codec}
        made = codec if isinstance(codec, Codec) or codec is None else make_codec(**dict(codec))
        return cls(Engine.open(model, made), seed=seed, n_samples=n_samples)

    @classmethod
    def load(cls, folder: str | Path, *, model: str | None = None) -> Forecaster:
        """A forecaster that `save`, a fit or a study wrote.

        Args:
            folder: of the adapter, or one that holds it as `adapter/`.
            model: where the base is now, if it moved.

        Raises:
            AdapterError: no adapter, or one of another base.
        """
        found = adapter_folder(folder)
        engine = Engine.load(found, model=model)
        assert engine.model.manifest is not None
        facts = engine.model.manifest.training
        count = facts.get("n_samples")
        made = cls(
            engine,
            seed=int(facts.get("seed", 0)),
            n_samples=None if count in (None, DEFAULT_SAMPLES) else int(count),
        )
        made._saved = found
        return made

    def fit(
        self,
        frame: Any,
        budget: str | float = "1e13",
        *,
        adapter: AdapterConfig | Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        max_steps: int = DEFAULT_MAX_STEPS,
        out: str | Path | None = None,
        ledger: Ledger | None = None,
        progress: Callable[[Progress], None] | None = None,
        **columns: Unpack[Columns],
    ) -> Forecaster:
        """Adapt the base to series, for as many steps as the budget affords.

        Trains on sliding windows of all series. From ten series on, the last tenth of them is
        held out for the validation loss; of fewer, the last fifth of their steps. Where numbers
        are shown as numbers, another tenth (or half of that fifth) is held out for the widths of
        bands. The weights with the lowest validation loss are kept. Every fit starts from the
        base, a second one too, and one of a forecaster that was loaded: bands are calibrated on
        series that nothing has been trained on. A fit that fails leaves the forecaster as it was.

        Args:
            frame: a long pandas or polars frame, or a `Panel`.
            budget: FLOPs for training and validation, for example 1e13 or "10TF".
            adapter: LoRA's rank, targets, ...; see `AdapterConfig`.
            training: dials of `TrainConfig` to set, for example `{"learning_rate": 4e-3}`.
            max_steps: optimiser steps at most, whatever the budget.
            out: folder for ledger, checkpoints and the adapter, so that a killed fit goes on
                where it stopped; None keeps nothing. A larger budget in the same folder keeps
                the plan of the first and pays for what had to run twice.
            ledger: that grants the budget, and is charged what was used of it.
            progress: called after every step.
            **columns: `id_col`, `time_col`, `target_cols` where not the usual names, and
                `sort=True` to put rows in time order; remembered for later frames.

        Returns:
            This forecaster.

        Raises:
            DataError: series that cannot be used.
            ConfigError: an impossible dial or budget.
            BudgetExceeded: the budget does not hold one step, nor, after an interruption, what
                had to run twice; or the ledger does not hold the budget.
            StorageError: `out` cannot be written, or belongs to another fit.
        """
        _known(columns, Columns, "fit")
        panel = as_panel(frame, **columns)
        limit = parse_flops(budget)
        if max_steps < 1:
            raise ConfigError(f"got max_steps={max_steps}; expected at least 1")
        if not isinstance(adapter, AdapterConfig):
            adapter = validated(AdapterConfig, adapter or {})
        panel.require_length(2, "training")
        require_known(panel, None, "training")
        self._fit(
            out,
            lambda engine, folder: run_fit(
                engine,
                panel,
                budget_flops=limit,
                adapter=adapter,
                training=training or {},
                max_steps=max_steps,
                seed=self.seed,
                folder=folder,
                facts={"n_samples": self.n_samples},
                ledger=ledger,
                progress=progress,
            ),
        )
        self._panel, self._columns = panel, columns
        return self

    def sample(
        self,
        h: int,
        frame: Any = None,
        **options: Unpack[Sampling],
    ) -> np.ndarray:
        """Sampled futures, (N, S, H, C) in original units; arguments as in `predict`.

        Raises:
            DataError: also where one series of several cannot be used, as under `strict`.
        """
        _known(options, Sampling, "sample")
        return self._sample(self._panel_of(frame), h, (), (), options)

    def predict(
        self,
        h: int,
        level: Sequence[float] = (80,),
        frame: Any = None,
        *,
        quantiles: Sequence[float] = (),
        strict: bool = False,
        **options: Unpack[Sampling],
    ) -> Any:
        """Forecast every series; the point forecast is the median of the samples.

        Args:
            h: steps to forecast.
            level: intervals in percent, as columns `...-lo-80` and `...-hi-80`.
            frame: a long pandas or polars frame, or a `Panel`; None takes the fitted one.
            quantiles: shares, as columns `...-q-10` (in percent).
            strict: stop at a series that cannot be used. Otherwise it is left out with a
                `LoracastWarning`, and `forecast_report.skipped` names it.
            **options: `n_samples`, S paths per series (default: 20, or as many as the levels
                want); `context`, steps of the past to show, exactly (default: the last 160, or as
                much digit text as 440 tokens hold; `forecast_report.notes` says what was left
                out); `budget`, FLOPs the forecast may cost (default: no limit); or `ledger`, a
                `loracast.flops.Ledger` that is charged and may refuse; `progress`, called with the
                number of steps just sampled, N x S x H in all; `force=True` forecasts with a codec
                that the bare base was never shown; `widen`, whether to widen the bands of a series
                whose own last steps the model clearly misses when it forecasts them from before
                (default: of a fitted model that samples numbers; it costs two short forecasts a
                series). What it cost is in `forecast_report`.

        Returns:
            A long frame of the caller's kind, h rows for each series that could be used.

        Raises:
            DataError: no series that can be used (or, where `strict`, one that cannot), h below
                1, or no frame and nothing fitted.
            ConfigError: an impossible level, quantile or number of samples, more samples needed
                for a level than were asked for, an unknown keyword, or a codec that the bare base
                was never shown.
            BudgetExceeded: the forecast does not fit.
        """
        _known(options, Sampling, "predict")
        levels, shares = check_levels(level), check_quantiles(quantiles)
        every = self._panel_of(frame, strict)
        panel, skipped = self.usable(every, options.get("context"), strict=strict)
        samples = self._sample(panel, h, levels, shares, options)
        self._skipped(skipped, len(panel))
        return frame_of_samples(panel, samples, levels, shares)

    def usable(
        self, panel: Panel, context: int | None = None, *, strict: bool = False
    ) -> tuple[Panel, tuple[Skipped, ...]]:
        """The series that can be forecast, and the others with their reasons.

        Args:
            panel: N series.
            context: last steps to show; None is as many as the model reads.
            strict: stop at the first series that cannot be used.

        Raises:
            DataError: no series that can be used or, where `strict`, one that cannot.
        """
        found, short = usable_series(panel, strict=strict)
        # A codec with a scale of its own is told it before it counts what a history takes.
        engine = self.engine if self.engine.model.adapter else scaled_for(self.engine, found.values)
        last = [context or engine.default_context(values) for values in found.values]
        found, unknown = usable_series(found, last=last, strict=strict)
        skipped = (*short, *unknown)
        return found, (*left_out(panel), *skipped)

    def cross_validation(
        self,
        h: int,
        n_windows: int = 1,
        step_size: int | None = None,
        level: Sequence[float] = (80,),
        frame: Any = None,
        *,
        strict: bool = False,
        **options: Unpack[Sampling],
    ) -> Any:
        """Forecast the last steps of every series from what stands before them, several times.

        The model is not fitted again; of the frame it was fitted on it has seen most.

        Args:
            h: steps of each forecast.
            n_windows: cutoffs; the last forecast ends with the series.
            step_size: steps between cutoffs; None takes `h`.
            level: intervals in percent.
            frame: as in `predict`.
            strict: as in `predict`; a series shorter than the first cutoff needs cannot be used.
            **options: as in `predict`; budget or ledger pay for all windows together.

        Returns:
            A long frame of the caller's kind with the columns `cutoff`, the truth and the
            forecasts, n_windows x h rows for each series that could be used, cutoff by cutoff.

        Raises:
            DataError: series shorter than the first cutoff needs, or as `predict`.
            BudgetExceeded: the windows together do not fit; none is forecast.
        """
        _known(options, Sampling, "cross_validation")
        levels = check_levels(level)
        every = self._panel_of(frame, strict)
        back = every.lengths - rolling_origins(every.lengths, h, n_windows, step_size)
        panel, skipped = usable_series(
            every,
            least=int(back.max(initial=0)) + 2,
            purpose=f"a backtest of {n_windows} windows of {h} steps",
            strict=strict,
        )
        frames, reports = [], []
        cuts = list(map(int, back[:, 0]))  # of every series alike
        with spending(options.get("ledger"), options.get("budget")) as ledger:
            self._must_fit([panel.steps(None, -n) for n in cuts], h, levels, options, ledger)
            each = options | {"ledger": ledger, "budget": None}
            for behind in cuts:
                samples = self._sample(panel.steps(None, -behind), h, levels, (), each)
                point = sample_quantiles(samples, [0.5])[0]
                bounds = intervals(samples, levels)
                frame = backtest_frame(panel, panel.lengths - behind, point, bounds)
                frames.append(nw.from_native(frame, eager_only=True))
                assert self.forecast_report is not None
                reports.append(self.forecast_report)
        self.forecast_report = ForecastReport(
            flops=sum(r.flops for r in reports),
            seconds=sum(r.seconds for r in reports),
            n_series=len(panel),
            horizon=h,
            n_samples=reports[0].n_samples,
            notes=tuple(dict.fromkeys(note for r in reports for note in r.notes)),
            held_paths=sum(r.held_paths for r in reports),
        )
        self._skipped((*left_out(every), *skipped), len(panel))
        return nw.concat(frames).to_native()

    def plot(
        self,
        series_id: Hashable | None = None,
        h: int = 12,
        level: Sequence[float] = (50, 80),
        frame: Any = None,
        *,
        history: int | None = None,
        **options: Unpack[Sampling],
    ) -> Figure:
        """Draw one series with its forecast.

        Args:
            series_id: which; None takes the first.
            h: steps to forecast.
            level: bands in percent.
            frame: as in `predict`.
            history: steps of the past to draw; None draws what the model is shown.
            **options: as in `predict`.

        Returns:
            A matplotlib figure; `figure.savefig("forecast.png")` writes it.

        Raises:
            DataError: no such series, or as `predict`.
        """
        _known(options, Sampling, "plot")
        levels = check_levels(level)
        panel = self._panel_of(frame)
        if series_id is not None and series_id not in panel.ids:
            some = ", ".join(map(repr, panel.ids[:5]))
            raise DataError(f"got series_id {series_id!r}; the ids are {some}, ...")
        one = panel.select([0 if series_id is None else panel.ids.index(series_id)])
        samples = self._sample(one, h, levels, (), options)
        shown = options.get("context") or self.engine.default_context(one.values[0])
        last = shown if history is None else max(2, history)
        return draw_forecast(one.steps(-last, None), samples[0], levels)

    def _panel_of(self, frame: Any, strict: bool = True) -> Panel:
        if frame is not None:
            return as_panel(frame, **self._columns, strict=strict)
        if self._panel is None:
            raise DataError("got no frame and nothing fitted in this process; pass frame=...")
        return self._panel

    def _must_fit(
        self,
        panels: Sequence[Panel],
        h: int,
        levels: Sequence[float],
        options: Sampling,
        ledger: Ledger,
    ) -> None:
        """Refuse forecasts that together are more than a ledger has left."""
        count = options.get("n_samples")
        samples = enough_samples(self.n_samples if count is None else count, levels, ())
        needed = sum(
            panel_flops(
                self.engine,
                panel,
                h,
                n_samples=samples,
                context=options.get("context"),
                convention=ledger.convention,
                force=options.get("force", False),
                widen=options.get("widen"),
            )
            for panel in panels
        )
        if needed > ledger.remaining_flops:
            raise BudgetExceeded(
                f"{len(panels)} windows can cost {format_flops(needed)}, but "
                f"{format_flops(ledger.remaining_flops)} are left; give a larger budget, or fewer "
                "windows, samples or series"
            )

    def _sample(
        self,
        panel: Panel,
        h: int,
        levels: Sequence[float],
        quantiles: Sequence[float],
        options: Sampling,
    ) -> np.ndarray:
        count = options.get("n_samples")
        count = enough_samples(self.n_samples if count is None else count, levels, quantiles)
        samples, self.forecast_report = sample_panel(
            self.engine,
            panel,
            h,
            n_samples=count,
            seed=self.seed,
            context=options.get("context"),
            budget=options.get("budget"),
            ledger=options.get("ledger"),
            progress=options.get("progress"),
            force=options.get("force", False),
            widen=options.get("widen"),
        )
        return samples

    def _skipped(self, skipped: Sequence[Skipped], n_usable: int) -> None:
        """Record and tell which series were left out."""
        if skipped:
            assert self.forecast_report is not None
            self.forecast_report = replace(self.forecast_report, skipped=tuple(skipped))
            warn_of_skipped(skipped, n_usable + len(skipped))

    def _reopened(self) -> Engine:
        base = self._engine.backbone
        return Engine.open(base.name, self._codec, random_start=base.random_start)
