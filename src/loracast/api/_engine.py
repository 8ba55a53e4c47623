"""A model, its task and its costs under one roof: what a Forecaster and a study both drive.

Knows panels of arrays, not frames and files. Every FLOP goes through the ledger it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import (
    AdapterConfig,
    AdapterManifest,
    attach_lora,
    load_adapter,
    lora_parameters,
    read_manifest,
    save_adapter,
)
from loracast.api._spending import spending, work_sha256
from loracast.api._spread import widened
from loracast.backbone import (
    Backbone,
    has_values,
    load_backbone,
    resolve_model,
    symbol_ids,
    values_of,
)
from loracast.codec import Codec, ContinuousCodec, make_codec
from loracast.decoding import (
    TokenAutomaton,
    Work,
    plan_values,
    plan_work,
    sample_paths,
    sample_values,
)
from loracast.errors import AdapterError, CodecError, ConfigError, DataError, ModelError
from loracast.flops import Ledger, LoraSpec, get_convention
from loracast.series import Panel
from loracast.tasks import Example, ForecastTask, ForecastWindows, Prompt
from loracast.training import Meter, Progress, TrainConfig, TrainResult, train

__all__ = ["Engine", "FitPlan"]

# Tokens of a training window and of a context shown by default: what the embedded base was
# pretrained on, and that less a horizon; in steps where a step is one position.
WINDOW_TOKENS, PROMPT_TOKENS = 560, 440
WINDOW_STEPS, PROMPT_STEPS = 192, 160


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
        backbone: a loaded model, already pruned to the codec's tokens.
        codec: how numbers become symbols.
        adapter: how the model is adapted; None while it is the bare base.
        lora: what the adapter costs when it runs beside the base; None once merged.
    """

    def __init__(
        self,
        backbone: Backbone,
        codec: Codec,
        adapter: AdapterConfig | None = None,
        lora: LoraSpec | None = None,
    ) -> None:
        self.backbone, self.codec = backbone, codec
        self.adapter, self.lora = adapter, lora
        vocabulary = backbone.vocabulary
        ids = symbol_ids(backbone.tokenizer, codec.alphabet)
        bos = backbone.bos_full_id
        self.task = ForecastTask(
            codec,
            [int(i) for i in vocabulary.to_model(ids)],
            None if bos is None else int(vocabulary.to_model([bos])[0]),
        )
        self.architecture = backbone.architecture
        self.manifest: AdapterManifest | None = None
        self.spread: tuple[float, ...] = ()  # of sampled numbers, see `calibrate_spread`

    @classmethod
    def open(
        cls, model: str, codec: Codec | dict[str, Any] | None, *, random_start: int | None = None
    ) -> Engine:
        """Load a base and prune it to what the codec needs.

        Without a codec numbers are shown as numbers where the model brings a value interface,
        and as digits (`compact`) where it does not.

        Raises:
            ModelError: the model cannot be loaded, or its tokenizer does not suit the codec.
            CodecError: unknown codec or option.
        """
        if codec is None:
            codec = {"name": "continuous" if has_values(resolve_model(model)) else "compact"}
        made = codec if isinstance(codec, Codec) else make_codec(**codec)
        backbone = load_backbone(model, random_start=random_start)
        backbone.use_values(isinstance(made, ContinuousCodec), seed=random_start or 0)
        backbone.prune(symbol_ids(backbone.tokenizer, made.alphabet))
        return cls(backbone, made)

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
        base = load_backbone(model or manifest.model, random_start=manifest.random_start)
        base.use_values(manifest.values is not None)
        lora = None if merge else manifest.adapter.spec(base.model)  # before PEFT wraps its layers
        backbone, manifest = load_adapter(folder, base=base)
        if manifest.adapter.method == "lora" and merge:
            backbone.model = backbone.model.merge_and_unload()
            backbone.model.eval()
        engine = cls(backbone, codec, manifest.adapter, lora)
        engine.manifest, engine.spread = manifest, manifest.spread
        return engine

    def attach(self, adapter: AdapterConfig, seed: int) -> None:
        """Give the model fresh trainable weights.

        Raises:
            AdapterError: targets that the model does not have.
            ModelError: it has an adapter already.
        """
        if self.adapter is not None:
            raise ModelError("this model is adapted already; open the base again to start anew")
        self.lora = adapter.spec(self.backbone.model)
        self.backbone.model = attach_lora(self.backbone.model, adapter, seed)
        self.adapter = adapter

    def identity(self) -> str:
        """Of base, codec and adapter: what a forecast depends on beside its inputs."""
        facts: dict[str, Any] = {
            "base": self.backbone.base_sha256,
            "codec": self.codec.config(),
            "adapter": None if self.adapter is None else self.adapter.model_dump(mode="json"),
            "saved": None if self.manifest is None else self.manifest.model_dump(mode="json"),
        }
        trained = lora_parameters(self.backbone.model) if self.manifest is None else {}
        weights = [trained[name].detach().float().cpu().numpy() for name in sorted(trained)]
        return work_sha256(facts, weights)

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

    def meter(
        self,
        ledger: Ledger,
        stage: str,
        validation: Sequence[Example] = (),
        *,
        optimizer: str = "adamw",
    ) -> Meter:
        """Prices training of this model for a stage of a ledger."""
        return Meter(
            ledger,
            stage,
            self.architecture,
            self.lora,
            validation,
            values=self.backbone.value_spec,
            device=next(self.backbone.model.parameters()).device.type,
            optimizer=optimizer,
        )

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
        if self.adapter is None:
            raise ModelError("nothing to train: attach an adapter first")
        return train(
            self.backbone.model,
            self.windows(panel, plan, training.batch_size, training.seed),
            training,
            meter=self.meter(ledger, stage, validation, optimizer=training.optimizer),
            folder=folder,
            validation=validation,
            progress=progress,
        )

    def window_steps(self, n_channels: int) -> int:
        """Steps of a training window, at most."""
        if self.task.continuous:
            return WINDOW_STEPS
        width = self.task.grammar(n_channels).max_symbols_per_step
        return max(2, (WINDOW_TOKENS - 1) // width)

    def shown_steps(self, n_channels: int) -> int:
        """How many steps of the past the model is shown, at most."""
        if self.task.continuous:
            return PROMPT_STEPS
        return max(2, PROMPT_TOKENS // self.task.grammar(n_channels).max_symbols_per_step)

    def prompts(self, contexts: Sequence[np.ndarray]) -> list[Prompt]:
        """Encoded contexts, each cut on the left to what the model is meant to read."""
        out = []
        for context in contexts:
            out.append(self.task.prompt(context[-self.shown_steps(context.shape[1]) :]))
        return out

    def _automata(self, prompts: Sequence[Prompt]) -> list[TokenAutomaton]:
        made: dict[int, TokenAutomaton] = {}
        for prompt in prompts:
            if prompt.n_channels not in made:
                made[prompt.n_channels] = TokenAutomaton.from_grammar(
                    self.task.grammar(prompt.n_channels),
                    self.task.token_ids,
                    len(self.backbone.vocabulary.kept),
                )
        return [made[p.n_channels] for p in prompts]

    def work_flops(self, work: Work, convention: str = "exact") -> float:
        """What prefills and decode steps cost."""
        rules = get_convention(convention)
        values = self.backbone.value_spec
        to_text = work.head_positions if values is None else 0
        table = rules.decode(self.architecture, work.positions, work.cached, to_text, self.lora)
        for rows, length in work.prefill:
            heads = 1 if values is None else 0
            table = table + rules.forward(self.architecture, rows, length, self.lora, heads)
        if values is not None:
            shown = work.prefill_positions + work.positions
            table = table + values.forward(shown, work.head_positions)
        return float(table.total)

    def forecast_flops(
        self, contexts: Sequence[np.ndarray], horizon: int, samples: int, convention: str = "exact"
    ) -> float:
        """The most a forecast can cost, before it runs."""
        prompts = self.prompts(contexts)
        return self.work_flops(self._plan(prompts, horizon, samples), convention)

    def _plan(self, prompts: Sequence[Prompt], horizon: int, samples: int) -> Work:
        lengths = [len(p.ids) for p in prompts]
        if self.task.continuous:
            return plan_values(lengths, horizon, n_samples=samples)
        return plan_work(lengths, self._automata(prompts), horizon, n_samples=samples)

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
        progress: Callable[[int], None] | None = None,
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
            progress: called with the number of steps just completed, N x S x H in all.

        Returns:
            (N, S, H, C) float64 in original units.

        Raises:
            DataError: no series, an unusable context, a horizon or sample count below 1.
            BudgetExceeded: the ledger refuses.
        """
        if horizon < 1:
            raise DataError(f"got horizon {horizon}; expected at least 1 step")
        if samples < 1:
            raise ConfigError(f"got {samples} samples; expected at least 1")
        if len({c.shape[1] for c in contexts}) != 1:
            raise DataError("got series with different numbers of channels; forecast them apart")
        prompts = self.prompts(contexts)

        def run() -> Any:
            if self.task.continuous:
                return sample_values(
                    self.backbone.model,
                    prompts,
                    horizon,
                    n_samples=samples,
                    seed=seed,
                    keys=keys,
                    temperature=temperature,
                    progress=progress,
                )
            return sample_paths(
                self.backbone.model,
                [p.ids for p in prompts],
                self._automata(prompts),
                horizon,
                n_samples=samples,
                seed=seed,
                keys=keys,
                temperature=temperature,
                progress=progress,
            )

        work = {
            "model": self.identity(),
            "keys": tuple(keys),
            "horizon": horizon,
            "samples": samples,
            "seed": seed,
            "temperature": temperature,
        }
        key = f"{stage}/generate/{work_sha256(work, contexts)}"
        with spending(ledger) as paying:
            most = self.work_flops(self._plan(prompts, horizon, samples), paying.convention)
            with paying.charge(key, most, stage=stage, kind="generate") as charge:
                sampled = run()
                charge.flops = self.work_flops(sampled, paying.convention)
        if self.task.continuous:
            return np.stack(
                [
                    self.task.values(widened(z, self.spread), p)
                    for z, p in zip(sampled.paths, prompts, strict=True)
                ]
            )
        return np.stack(
            [
                np.stack([self.task.parse(path, prompt) for path in paths])
                for paths, prompt in zip(sampled.paths, prompts, strict=True)
            ]
        )

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
        if self.adapter is None:
            raise ModelError("nothing to save: the model has no adapter")
        interface = values_of(self.backbone.model)
        manifest = AdapterManifest(
            model=self.backbone.name,
            base_sha256=self.backbone.base_sha256,
            kept_ids=self.backbone.vocabulary.kept,
            adapter=self.adapter,
            codec=self.codec.config(),
            context_steps=context_steps,
            n_channels=n_channels,
            random_start=self.backbone.random_start,
            values=None if interface is None else interface.shape,
            spread=self.spread,
            training=training or {},
        )
        self.manifest = save_adapter(self.backbone.model, folder, manifest, extra_files)
        return self.manifest
