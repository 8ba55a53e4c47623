"""Pretrain the embedded base from a recipe: same loop, same ledger, data that never repeats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from loracast.adapters import AdapterConfig, attach_lora
from loracast.backbone import (
    CARD_FILE,
    Backbone,
    build_embedded,
    embedded_config,
    load_backbone,
    numeric_head_of,
    save_numeric_head,
)
from loracast.errors import ConfigError, StorageError, faults_in_one_line
from loracast.files import whole_folder, write_whole
from loracast.flops import parse_flops
from loracast.ledger import Ledger
from loracast.pretraining._corpus_batches import CorpusBatches, Kind
from loracast.pretraining._grow import grow_embedded
from loracast.synthetic import CORPUS_CHANNELS
from loracast.training import (
    Meter,
    Progress,
    StepPricer,
    TrainConfig,
    TrainResult,
    machine_facts,
    rising_shares,
    train,
)

__all__ = ["PretrainRecipe", "load_pretrain_recipe", "pretrain"]


class PretrainRecipe(BaseModel):
    """Everything that decides the weights of a base.

    Args:
        seed: of weights and corpus.
        hidden, layers, mlp: shape of the Qwen2 architecture.
        start: folder of an older base whose body is kept, None for random weights.
        kinds: what is shown, with shares.
        context_range: share of a window that its scaling is fitted on.
        validation: batches of each kind, from the stream's own validation pool.
        budget: FLOPs in all.
        training: dials of the loop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    hidden: int = 256
    layers: int = 6
    mlp: int = 704
    start: str | None = None
    kinds: tuple[Kind, ...] = Field(min_length=1)
    context_range: tuple[float, float] = (0.25, 1.0)
    validation: int = Field(default=2, ge=1)
    budget: str = "1e16"
    training: TrainConfig

    @field_validator("context_range")
    @classmethod
    def _context_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        return rising_shares(value)


def load_pretrain_recipe(path: Path) -> PretrainRecipe:
    """A recipe from YAML.

    Raises:
        ConfigError: missing file or a field that does not fit.
    """
    try:
        return PretrainRecipe.model_validate(yaml.safe_load(Path(path).read_text("utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"no recipe at {path}; give a YAML file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"recipe {path} is not valid: {faults_in_one_line(error)}") from error


def pretrain(
    recipe: PretrainRecipe,
    out: Path,
    progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a base; resumes by itself when `out` holds an unfinished run.

    Args:
        recipe: what to do.
        out: work folder; the finished model stands in `out/model` (bfloat16 safetensors).
        progress: called after every step.

    Raises:
        StorageError: `out` cannot be written.
        BudgetExceeded: the budget does not hold one step.
    """
    folder = out / "start"
    if not (folder / "model.safetensors").exists():
        shape = embedded_config(recipe.hidden, recipe.layers, recipe.mlp)
        try:
            with whole_folder(folder) as work:
                if recipe.start is None:
                    build_embedded(work, shape, recipe.seed)
                else:
                    grow_embedded(Path(recipe.start), work, shape, recipe.seed)
        except OSError as error:
            raise StorageError(f"cannot write to {out}: {error}") from error
    base = load_backbone(str(folder))
    base.use_numeric_head(any(k.kind != "digits" for k in recipe.kinds), seed=recipe.seed)
    source = CorpusBatches(base, recipe.kinds, recipe.seed, recipe.context_range)
    validation = [
        example
        for which in range(len(recipe.kinds))
        for batch in source.pool(which, 0)[: recipe.validation]
        for example in batch
    ]
    attach_lora(base.model, AdapterConfig(method="full"), recipe.seed)
    with Ledger(out / "ledger.sqlite", parse_flops(recipe.budget), "exact") as ledger:
        pricer = StepPricer(
            base.architecture, None, base.numeric_head_spec, optimizer=recipe.training.optimizer
        )
        result = train(
            base.model,
            source,
            recipe.training,
            meter=Meter(pricer, ledger, "pretrain", validation),
            folder=out / "checkpoints",
            validation=validation,
            progress=progress,
        )
    write_base(base, out / "model")
    card = {
        "channels": CORPUS_CHANNELS,
        "recipe": recipe.model_dump(mode="json"),
        "result": result.__dict__,
        "machine": machine_facts(),
    }
    for folder in (out, out / "model"):
        write_whole(folder / CARD_FILE, json.dumps(card, indent=1))
    return result


def write_base(base: Backbone, folder: Path) -> None:
    """A base as plain Hugging Face files in bfloat16, its numeric head beside it in float32."""
    interface = numeric_head_of(base.model)
    base.use_numeric_head(False)
    base.model.to(torch.bfloat16).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text("{}\n")
    if interface is not None:
        save_numeric_head(interface.float(), folder)
