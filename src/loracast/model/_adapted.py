"""A backbone, the adapter on it and what both cost: what the engines of both products stand on.

Knows weights, adapters and prices; not what a series is, nor what the model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from loracast.adapters import (
    AdapterConfig,
    AdapterManifest,
    attach_lora,
    load_adapter,
    lora_parameters,
    read_manifest,
    save_adapter,
)
from loracast.backbone import Backbone, load_backbone, numeric_head_of
from loracast.decoding import Work
from loracast.errors import ModelError
from loracast.files import sha256_of
from loracast.flops import LoraSpec, get_convention
from loracast.ledger import Ledger
from loracast.model._spending import work_sha256
from loracast.training import (
    BatchSource,
    Example,
    Meter,
    Progress,
    StepPricer,
    TrainConfig,
    TrainResult,
    train,
)

__all__ = ["AdaptedModel"]


class AdaptedModel:
    """A backbone, adapted or not.

    Args:
        backbone: a loaded model, pruned already where it is to be.
        adapter: how it is adapted; None while it is the bare base.
        lora: what the adapter costs when it runs beside the base; None once merged.
        manifest: of the saved adapter, if it is one.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: AdapterConfig | None = None,
        lora: LoraSpec | None = None,
        manifest: AdapterManifest | None = None,
    ) -> None:
        self.backbone, self.adapter, self.lora = backbone, adapter, lora
        self.manifest = manifest
        self.architecture = backbone.architecture

    @classmethod
    def load(cls, folder: Path, *, model: str | None = None, merge: bool = True) -> Self:
        """Load a saved adapter with its base.

        Args:
            folder: of `save`.
            model: where the base is now, if it moved.
            merge: fold the adapter into the weights, which costs nothing at decoding.

        Raises:
            AdapterError: not an adapter, of another base, damaged or edited.
            ModelError: the base cannot be loaded.
        """
        manifest = read_manifest(folder)
        base = load_backbone(model or manifest.model, random_start=manifest.random_start)
        base.use_numeric_head(manifest.values is not None)
        lora = None if merge else manifest.adapter.spec(base.model)  # before PEFT wraps its layers
        backbone, manifest = load_adapter(folder, base=base)
        made = cls(backbone, manifest.adapter, lora, manifest)
        if merge:
            made.merge()
        return made

    @classmethod
    def load_to_train(cls, folder: Path, *, model: str | None = None) -> Self:
        """Load a saved adapter that is to be trained further; as `load`, all of it trainable."""
        made = cls.load(folder, model=model, merge=False)
        network = made.backbone.model
        interface = numeric_head_of(network)
        if made.adapter is not None and made.adapter.method == "full":
            network.requires_grad_(True)
            return made
        for name, weight in network.named_parameters():
            if ".lora_" in name:
                weight.requires_grad_(True)
        if interface is not None:
            interface.requires_grad_(True)
        if made.adapter is not None and made.adapter.head_bias:
            network.get_output_embeddings().bias.requires_grad_(True)
        return made

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

    def detach(self) -> None:
        """Undo `attach`, before anything is trained."""
        if self.lora is not None:
            self.backbone.model = self.backbone.model.unload()
            self.backbone.model.eval()
        self.adapter = self.lora = None

    def merge(self) -> None:
        """Fold the adapter into the weights; the answers are the same."""
        if hasattr(self.backbone.model, "merge_and_unload"):  # PEFT's; full training has none
            self.backbone.model = self.backbone.model.merge_and_unload()
            self.backbone.model.eval()
        self.lora = None

    def pricer(self, convention: str = "exact", optimizer: str = "adamw") -> StepPricer:
        """What training this model costs."""
        return StepPricer(
            self.architecture,
            self.lora,
            self.backbone.numeric_head_spec,
            convention=convention,
            device=next(self.backbone.model.parameters()).device.type,
            optimizer=optimizer,
        )

    def work_flops(self, work: Work, convention: str = "exact", *, numbers: bool = False) -> float:
        """What prefills and decode steps cost.

        Args:
            work: planned or done.
            convention: how FLOPs are counted.
            numbers: whether numbers are sampled, a position each, in place of tokens.
        """
        rules, heads = get_convention(convention), 0 if numbers else 1
        table = rules.decode(
            self.architecture, work.positions, work.cached, heads * work.head_positions, self.lora
        )
        for rows, length in work.prefill:
            table = table + rules.forward(self.architecture, rows, length, self.lora, heads)
        values = self.backbone.numeric_head_spec
        if values is not None:
            shown = work.prefill_positions + (work.positions if numbers else 0)
            table = table + values.forward(shown, work.head_positions if numbers else 0)
        return float(table.total)

    def identity(self, facts: Mapping[str, Any]) -> str:
        """Of base and adapter, and of what else an answer depends on beside its question."""
        known: dict[str, Any] = {
            "base": self.backbone.base_sha256,
            "adapter": None if self.adapter is None else self.adapter.model_dump(mode="json"),
            "saved": None if self.manifest is None else self.manifest.model_dump(mode="json"),
        }
        trained = lora_parameters(self.backbone.model) if self.manifest is None else {}
        weights = [trained[name].detach().float().cpu().numpy() for name in sorted(trained)]
        return work_sha256(known | dict(facts), weights)

    def learned_sha256(self) -> str | None:
        """Of what the adapter has learned so far; None for the bare base."""
        if self.adapter is None:
            return None
        weights = sorted(lora_parameters(self.backbone.model).items())
        return sha256_of(*(p for name, w in weights for p in (name, w.detach().cpu().numpy())))

    def train(
        self,
        source: BatchSource,
        config: TrainConfig,
        *,
        ledger: Ledger,
        stage: str,
        folder: Path,
        validation: Sequence[Example] = (),
        progress: Callable[[Progress], None] | None = None,
    ) -> TrainResult:
        """Train the attached adapter; see `training.train` for what may be raised.

        Args:
            source: batches by step.
            config: the dials.
            ledger: charged.
            stage: its name there.
            folder: of checkpoints.
            validation: examples of the validation loss.
            progress: called after every step.

        Raises:
            ModelError: no adapter is attached.
        """
        if self.adapter is None:
            raise ModelError("nothing to train: attach an adapter first")
        pricer = self.pricer(ledger.convention, config.optimizer)
        return train(
            self.backbone.model,
            source,
            config,
            meter=Meter(pricer, ledger, stage, validation),
            folder=folder,
            validation=validation,
            progress=progress,
        )

    def save(
        self,
        folder: Path,
        *,
        codec: dict[str, Any],
        context_steps: int,
        n_channels: int,
        training: Mapping[str, Any],
        spread: tuple[float, ...] = (),
        extra_files: dict[str, Path] | None = None,
    ) -> AdapterManifest:
        """Save the adapter; see `adapters.save_adapter` for what may be raised.

        Args:
            folder: where; an existing adapter there is replaced.
            codec: how it was shown numbers.
            context_steps: T that it was made for.
            n_channels: C of the series it learned from.
            training: JSON facts about its making.
            spread: of sampled numbers.
            extra_files: further files to put beside it, by name.

        Raises:
            ModelError: there is no adapter.
        """
        if self.adapter is None:
            raise ModelError("nothing to save: the base is as it came; call fit first")
        interface = numeric_head_of(self.backbone.model)
        manifest = AdapterManifest(
            model=self.backbone.name,
            base_sha256=self.backbone.base_sha256,
            kept_ids=self.backbone.vocabulary.kept,
            adapter=self.adapter,
            codec=codec,
            context_steps=context_steps,
            n_channels=n_channels,
            random_start=self.backbone.random_start,
            values=None if interface is None else interface.shape,
            spread=spread,
            training=dict(training),
        )
        self.manifest = save_adapter(self.backbone.model, folder, manifest, extra_files)
        return self.manifest
