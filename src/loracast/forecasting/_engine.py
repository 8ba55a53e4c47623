"""A model, its task and its costs under one roof: what a Forecaster and a study both drive.

Knows panels of arrays, not frames and files. Every FLOP goes through the ledger it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import (
    AdapterManifest,
    read_manifest,
)
from loracast.backbone import load_backbone, symbol_ids
from loracast.codec import Codec, make_codec
from loracast.decoding import Work
from loracast.errors import AdapterError, CodecError, ConfigError, DataError
from loracast.forecasting._shown import (
    check_positions,
    default_codec,
    misfit,
    shows_numbers,
    task_of,
    told_together,
)
from loracast.forecasting._task import Draw, Prompt
from loracast.forecasting._windows import ForecastWindows
from loracast.ledger import Key, Ledger
from loracast.model import AdaptedModel, spending, work_sha256
from loracast.series import Panel
from loracast.training import Example, Progress, TrainConfig, TrainResult

__all__ = ["Engine", "FitPlan", "scaled_for"]


@dataclass(frozen=True)
class FitPlan:
    """Which windows a model is trained on.

    Args:
        window_steps: T of a training window.
        stride: steps between the starts of neighbouring windows.
        context_range: share of a window that its scaling is fitted on, drawn for each example.
        context_steps: context of the validation examples.
        validation_rows: validation series used for the loss, at most.
    """

    window_steps: int
    stride: int
    context_range: tuple[float, float] = (0.3, 1.0)
    context_steps: int = 70
    validation_rows: int = 64


class Engine:
    """A backbone with the codec's symbols bound to its tokens, adapted or not.

    Args:
        model: a backbone, adapted or not, already pruned to the codec's tokens.
        codec: how numbers become symbols.
    """

    def __init__(self, model: AdaptedModel, codec: Codec) -> None:
        self.model, self.backbone, self.codec = model, model.backbone, codec
        self.task = task_of(model.backbone, codec)
        # Of sampled numbers, see `calibrate_spread`.
        self.spread: tuple[float, ...] = () if model.manifest is None else model.manifest.spread
        self.held_paths = 0  # of the last `sample`, how many met the limits of `_bounds`

    @classmethod
    def open(
        cls, model: str, codec: Codec | dict[str, Any] | None, *, random_start: int | None = None
    ) -> Engine:
        """Load a base and prune it to what the codec needs.

        Without a codec numbers are shown as numbers where the model brings a numeric head,
        and as digits (`compact`) where it does not.

        Raises:
            ModelError: the model cannot be loaded, or its tokenizer does not suit the codec.
            CodecError: unknown codec or option.
        """
        if codec is None:
            codec = default_codec(model)
        made = codec if isinstance(codec, Codec) else make_codec(**codec)
        backbone = load_backbone(model, random_start=random_start)
        backbone.use_numeric_head(shows_numbers(made), seed=random_start or 0)
        backbone.prune(symbol_ids(backbone.tokenizer, made.alphabet))
        return cls(AdaptedModel(backbone), made)

    @classmethod
    def load(cls, folder: Path, *, model: str | None = None, merge: bool = True) -> Engine:
        """Load a saved adapter with its base.

        Args:
            folder: of `save`.
            model: where the base is now, if it moved.
            merge: fold the adapter into the weights, which costs nothing at decoding.

        Raises:
            AdapterError: not an adapter, of another base, damaged or edited.
        """
        manifest = read_manifest(folder)
        try:
            codec = make_codec(**manifest.codec)
        except (CodecError, TypeError) as error:
            raise AdapterError(f"the adapter in {folder} has no usable codec: {error}") from error
        return cls(AdaptedModel.load(folder, model=model, merge=merge), codec)

    def identity(self) -> str:
        """Of base, codec and adapter: what a forecast depends on beside its inputs."""
        return self.model.identity({"codec": self.codec.config()})

    def validation_examples(self, panel: Panel | None, plan: FitPlan) -> list[Example]:
        """The last window of each validation series, scaled from the plan's context."""
        if panel is None:
            return []
        examples = []
        for values in panel.values[: plan.validation_rows]:
            window = values[-plan.window_steps :]
            context = min(plan.context_steps, max(2, len(window) - 1))
            if len(window) >= 2 and np.isfinite(window[:context]).any(axis=0).all():
                examples.append(self.task.example(window, context))
        return examples

    def windows(self, panel: Panel, plan: FitPlan, batch_size: int, seed: int) -> ForecastWindows:
        """Training windows of a panel under a plan."""
        return ForecastWindows(
            self.task,
            panel,
            window_steps=plan.window_steps,
            stride=plan.stride,
            batch_size=batch_size,
            seed=seed,
            context_range=plan.context_range,
        )

    def fit(
        self,
        panel: Panel,
        validation: Sequence[Example],
        plan: FitPlan,
        training: TrainConfig,
        *,
        ledger: Ledger,
        stage: str,
        folder: Path,
        progress: Callable[[Progress], None] | None = None,
    ) -> TrainResult:
        """Train the attached adapter; see `training.train` for what may be raised."""
        return self.model.train(
            self.windows(panel, plan, training.batch_size, training.seed),
            training,
            ledger=ledger,
            stage=stage,
            folder=folder,
            validation=validation,
            progress=progress,
        )

    @property
    def misfit(self) -> str:
        """Why forecasts of the bare base would be noise; "" where nothing speaks against them."""
        return "" if self.model.adapter is not None else misfit(self.backbone, self.codec)

    def channel_groups(self, n_channels: int) -> list[slice]:
        """Channels that are forecast together.

        All, or one by one where there are more of them than the model has ever seen together: it
        would go on with the others as constants.
        """
        card, saved = self.backbone.card, self.model.manifest
        known = None if card is None else card.channels
        if known is not None and self.model.adapter is not None:
            known = None if saved is None else max(known, saved.n_channels)
        if known is None or n_channels <= known:
            return [slice(0, n_channels)]
        return [slice(c, c + 1) for c in range(n_channels)]

    def window_steps(self, panel: Panel) -> int:
        """Steps of a training window where nobody asked for a number; see the task."""
        return self.task.window_steps(panel)

    def default_context(self, values: np.ndarray) -> int:
        """Last steps of a history (T, C) shown where nobody asked for a number; see the task."""
        saved = self.model.manifest
        made_for = 0 if saved is None else saved.context_steps
        groups = self.channel_groups(values.shape[1])
        return min(self.task.default_context(values[:, group], made_for) for group in groups)

    def _pieces(self, contexts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Series by series, and of each its groups of channels."""
        groups = self.channel_groups(contexts[0].shape[1]) if len(contexts) else []
        return [context[:, group] for context in contexts for group in groups]

    def prompts(self, contexts: Sequence[np.ndarray]) -> list[Prompt]:
        """Encoded contexts, every step of them; several a series where channels go apart."""
        return [self.task.prompt(piece) for piece in self._pieces(contexts)]

    def work_flops(self, work: Work, convention: str = "exact") -> float:
        """What prefills and decode steps cost."""
        numbers = self.backbone.numeric_head_spec is not None
        return self.model.work_flops(work, convention, numbers=numbers)

    def forecast_flops(
        self,
        contexts: Sequence[np.ndarray],
        horizon: int,
        samples: int,
        convention: str = "exact",
        *,
        widen: bool | None = None,
        shortest: bool = False,
    ) -> float:
        """The most a forecast can cost, before it runs; arguments as in `sample`.

        With `shortest`, the least: where the tokens of a step vary, the fewest of each.
        """
        pieces = self._pieces(contexts)
        keys, draw = [""] * len(pieces), Draw(horizon, samples)
        request = self.task.prepare(pieces, keys, draw, self._widens(widen, samples))
        return self._price(self.task.plan(request, shortest), convention)

    def _price(self, works: Sequence[Work], convention: str) -> float:
        return sum(self.work_flops(work, convention) for work in works)

    def _widens(self, widen: bool | None, samples: int) -> bool:
        """Whether hindcasts are made: by default of an adapted model, where bands are widened."""
        if widen and not self.task.widens:
            raise ConfigError(
                f"got widen=True for codec {self.codec.name!r}; bands are widened where numbers "
                "are sampled: use codec 'continuous', or leave widen out"
            )
        wanted = self.model.adapter is not None if widen is None else widen
        return wanted and self.task.widens and samples > 1

    def sample(
        self,
        contexts: Sequence[np.ndarray],
        keys: Sequence[str],
        horizon: int,
        *,
        samples: int,
        seed: int,
        temperature: float = 1.0,
        ledger: Ledger | None = None,
        stage: str = "forecast",
        kind: str = "generate",
        progress: Callable[[int], None] | None = None,
        widen: bool | None = None,
    ) -> np.ndarray:
        """Sampled futures of N contexts.

        Args:
            contexts: N arrays (T_n, C), NaN where a value is missing.
            keys: N stable names; the draw of a series depends on (seed, key, sample) alone.
            horizon: H steps.
            samples: S paths a series.
            seed: of the draws.
            temperature: of the sampling.
            ledger: charged before the work starts; None charges one that is thrown away.
            stage: its name there.
            kind: of work, as the ledger calls it.
            progress: called with the number of steps just completed, N x S x H in all.
            widen: draw samples apart, about their median, of a series whose own last steps the
                model clearly misses when it forecasts them from before (see `_hindcast`); costs
                two short forecasts more a series. None: of an adapted model that samples
                numbers.

        Returns:
            (N, S, H, C) float64 in original units, each path inside the limits of `_bounds`;
            `held_paths` says how many of the N x S met them.

        Raises:
            DataError: no series, an unusable context, a horizon or sample count below 1, or a
                context that with its forecast is longer than the model's positions.
            ConfigError: `widen` where no numbers are sampled.
            BudgetExceeded: the ledger refuses.
        """
        if horizon < 1:
            raise DataError(f"got horizon {horizon}; expected at least 1 step")
        if samples < 1:
            raise ConfigError(f"got {samples} samples; expected at least 1")
        if len({c.shape[1] for c in contexts}) != 1:
            raise DataError("got series with different numbers of channels; forecast them apart")
        pieces, parts = self._pieces(contexts), len(self.channel_groups(contexts[0].shape[1]))
        if parts > 1:
            keys = [f"{key}/{part}" for key in keys for part in range(parts)]
            progress = None if progress is None else told_together(parts, progress)
        draw = Draw(horizon, samples, seed, temperature)
        request = self.task.prepare(pieces, keys, draw, self._widens(widen, samples))
        check_positions(self.task, request)
        work = {
            "model": self.identity(),
            "keys": tuple(keys),
            "hindcasts": len(request.hindcasts),
            **asdict(draw),
        }
        key = Key(stage, "generate", work_sha256(work, contexts))
        with spending(ledger) as paying:
            most = self._price(self.task.plan(request), paying.convention)
            with paying.charge(key, most, stage=stage, kind=kind) as charge:
                drawn = self.task.sample(self.backbone.model, request, progress)
                charge.flops = self._price(drawn, paying.convention)
        values, met = self.task.read(request, drawn, self.spread)
        series = [slice(n, n + parts) for n in range(0, len(values), parts)]
        self.held_paths = int(sum(np.any(met[part], axis=0).sum() for part in series))
        return np.stack([np.concatenate(values[part], axis=-1) for part in series])

    def save(
        self,
        folder: Path,
        *,
        context_steps: int,
        n_channels: int,
        training: dict[str, Any] | None = None,
        extra_files: dict[str, Path] | None = None,
    ) -> AdapterManifest:
        """Save the adapter; see `adapters.save_adapter` for what may be raised."""
        return self.model.save(
            folder,
            codec=self.codec.config(),
            context_steps=context_steps,
            n_channels=n_channels,
            training=training or {},
            spread=self.spread,
            extra_files=extra_files,
        )


def scaled_for(engine: Engine, values: Sequence[np.ndarray]) -> Engine:
    """The engine with a codec that knows the scale of these values, where it needs one."""
    codec = engine.codec.scaled_for(values)
    if codec is engine.codec:
        return engine
    return Engine(engine.model, codec)
