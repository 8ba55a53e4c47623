"""A study as data: one YAML file says what runs, on what, and for how many FLOPs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from loracast.adapters import AdapterConfig
from loracast.errors import ConfigError, faults_in_one_line
from loracast.files import sha256_of
from loracast.flops import parse_flops
from loracast.forecasting import FitPlan
from loracast.training import TrainConfig, rising_shares

__all__ = ["Recipe", "changed_recipe", "load_recipe"]

MOST_GENERATED = 1_000_000  # series of 100 steps and two channels: 1.6 GB


Model = TypeVar("Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataPart(_Part):
    """Where series come from and how they are split, in file order.

    Args:
        path: CSV, Parquet or HDF5; None generates predator-prey systems.
        generate: how many, when there is no path.
        generate_seed: of the generator.
        train, validation: series; what is left over is the test set. None takes 80 % and 10 %, and
            of 900 to 1000 series 800 and 100, as the published protocol does.
    """

    path: str | None = None
    generate: int = Field(default=1000, ge=3, le=MOST_GENERATED)
    generate_seed: int = Field(default=0, ge=0)
    train: int | None = Field(default=None, ge=1)
    validation: int | None = Field(default=None, ge=1)


class GridPart(_Part):
    """Learning rates times ranks, each trained for `steps` steps.

    Args:
        steps: of one training.
        learning_rate, rank: crossed. Rivals of the adapter choose among the same rates.
        repeats: trainings of each cell, each with another seed; what they scatter is the noise
            within which cells are not told apart. One cannot know its noise.
    """

    steps: int = Field(default=60, ge=1)
    learning_rate: tuple[PositiveFloat, ...] = Field(default=(1e-3, 4e-3), min_length=1)
    rank: tuple[PositiveInt, ...] = Field(default=(8, 32), min_length=1)
    repeats: int = Field(default=1, ge=1)


class ContextPart(_Part):
    """Window lengths in time steps, each trained for the FLOPs of `steps` full windows.

    Args:
        steps: of full windows (context and longest horizon, which is always among those tried).
        windows: the others.
        repeats: as in the grid.
    """

    steps: int = Field(default=60, ge=1)
    windows: tuple[Annotated[int, Field(ge=2)], ...] = (50,)
    repeats: int = Field(default=1, ge=1)


class ValidationPart(_Part):
    """Validation series that every trained stage forecasts, for its error in original units.

    Args:
        series: drawn by the recipe's seed, the same for every stage; all where there are fewer.
        samples: paths a series; their median is scored.
    """

    series: int = Field(default=40, ge=1)
    samples: int = Field(default=7, ge=1)


class Recipe(_Part):
    """Everything that decides a study, and with the data's bytes, its numbers.

    Args:
        name: of the study.
        seed: of adapters, order, sampling and baselines.
        budget: FLOPs in all, as text.
        convention: how they are counted.
        model: 'embedded', a folder or a hub id.
        codec: `make_codec(**codec)`.
        data: see `DataPart`.
        context: steps shown before a forecast.
        horizons: steps scored; the longest is forecast.
        samples: paths a series.
        temperature: of the sampling.
        adapter: the default adapter; the grid varies its rank.
        training: the default dials; stages set `steps`, the grid the learning rate.
        stride: steps between training windows.
        context_range: share of a training window its scaling is fitted on.
        default_steps: optimiser steps of the stage 'default'.
        grid, contexts: the search; None leaves a stage out.
        select: what the search chooses by: the error of forecasts of validation series, or their
            loss.
        validation_forecasts: those forecasts, made after every training stage; None for none.
        random_start: also train the same architecture from random weights, all of them, with the
            FLOPs of the final stage.
        full_fine_tuning: also train all weights of the pretrained model with those FLOPs.
        calibration_series: the last training series, kept back to measure how wide the bands of
            sampled numbers must be; only codec `continuous` has a use for them.
        final_share: of the FLOPs that are left, what the final training may use (the rest pays
            for the random start and the forecasts).
        max_final_steps: the final stage never takes more, whatever the budget.
        test_contexts: steps of shorter contexts that the adapted model is tested with too.
        baselines: classical methods beside it.
        global_mlp_steps: training steps of the global MLP.
    """

    name: str = "study"
    seed: int = Field(default=0, ge=0)
    budget: str = "1e15"
    convention: Literal["exact"] = "exact"
    model: str = "embedded"
    codec: dict[str, Any] = {"name": "compact"}
    data: DataPart = DataPart()
    context: int = Field(default=70, ge=2)
    horizons: tuple[int, ...] = (5, 20, 30)
    samples: int = Field(default=20, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    adapter: AdapterConfig = AdapterConfig()
    training: TrainConfig
    stride: int = Field(default=10, ge=1)
    context_range: tuple[float, float] = (0.3, 1.0)
    default_steps: int = Field(default=60, ge=1)
    grid: GridPart | None = GridPart()
    contexts: ContextPart | None = ContextPart()
    select: Literal["val_mae", "val_loss"] = "val_mae"
    validation_forecasts: ValidationPart | None = ValidationPart()
    random_start: bool = True
    full_fine_tuning: bool = False
    calibration_series: int = Field(default=40, ge=0)
    final_share: float = Field(default=0.5, gt=0, le=1)
    max_final_steps: int = Field(default=100_000, ge=1)
    test_contexts: tuple[Annotated[int, Field(ge=2)], ...] = ()
    baselines: tuple[str, ...] = (
        "naive",
        "seasonal_naive",
        "var5_log",
        "quadratic_growth",
        "ode_fit",
    )
    global_mlp_steps: int | None = None

    @field_validator("budget", mode="before")
    @classmethod
    def _budget(cls, value: object) -> str:
        text = str(value)
        try:
            parse_flops(text)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return text

    @field_validator("context_range")
    @classmethod
    def _context_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        return rising_shares(value)

    @field_validator("horizons")
    @classmethod
    def _horizons(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError(f"got horizons {value}; expected at least one, each 1 or more")
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _selects_by_what_is_measured(self) -> Recipe:
        if self.select == "val_mae" and self.validation_forecasts is None:
            raise ValueError(
                "got select: val_mae without validation_forecasts; set them, or select: val_loss"
            )
        return self

    @model_validator(mode="after")
    def _contexts_are_there(self) -> Recipe:
        if max(self.test_contexts, default=0) > self.context:
            raise ValueError(
                f"got test_contexts {list(self.test_contexts)}; expected steps up to the context, "
                f"{self.context}"
            )
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_asked(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Parts that came later stay out where they are not used: older studies go on."""
        asked = {"test_contexts": self.test_contexts}
        return {k: v for k, v in fields(self).items() if asked.get(k, True)}

    @property
    def rivals(self) -> tuple[str, ...]:
        """Networks trained with the FLOPs of the final stage, beside the adapted one."""
        wanted = (("full_fine_tuning", self.full_fine_tuning), ("random_start", self.random_start))
        return tuple(name for name, on in wanted if on)

    @property
    def kept_back(self) -> int:
        """Training series kept back for calibration."""
        return self.calibration_series if self.codec.get("name") == "continuous" else 0

    @property
    def horizon(self) -> int:
        """The longest horizon, which is forecast."""
        return max(self.horizons)

    @property
    def full_window(self) -> int:
        """Time steps of a full training window: the context and the longest horizon."""
        return self.context + self.horizon

    def windows(self, steps: int) -> FitPlan:
        """Training windows of so many time steps."""
        return FitPlan(
            window_steps=steps,
            stride=min(self.stride, steps),
            context_range=self.context_range,
            context_steps=self.context,
        )

    def dials(
        self, steps: int, learning_rate: float | None = None, seed: int | None = None
    ) -> TrainConfig:
        """How a stage of so many steps is trained; rate and seed are the recipe's by default."""
        update: dict[str, Any] = {
            "steps": steps,
            "seed": self.seed if seed is None else seed,
            "warmup_steps": min(self.training.warmup_steps, max(1, steps // 10)),
        }
        if learning_rate is not None:
            update["learning_rate"] = learning_rate
        return self.training.model_copy(update=update)

    def adapter_at(self, rank: int) -> AdapterConfig:
        """The default adapter at another rank, its alpha in proportion."""
        share = self.adapter.alpha / self.adapter.rank
        return self.adapter.model_copy(update={"rank": rank, "alpha": share * rank})

    def fingerprint(self, data_sha256: str, base_sha256: str) -> str:
        """Of everything but the budget, so that a study can go on when its budget is raised."""
        facts = self.model_dump(mode="json", exclude={"budget"})
        facts["data"].pop("path")
        return sha256_of(json.dumps([facts, data_sha256, base_sha256], sort_keys=True))


def _text(source: str | Path | None) -> tuple[str, str]:
    shipped = resources.files("loracast") / "recipes"
    if not shipped.is_dir():  # an editable install reads them where they are kept
        shipped = Path(__file__).parents[3] / "recipes"
    name = "study" if source is None else str(source)
    if Path(name).is_file():
        try:
            return Path(name).read_text(encoding="utf-8"), name
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"recipe {name} cannot be read: {error}") from error
    inside = shipped / f"{name}.yaml"
    if "/" not in name and inside.is_file():
        return inside.read_text(encoding="utf-8"), name
    known = sorted(p.name.removesuffix(".yaml") for p in shipped.iterdir())
    raise ConfigError(f"no recipe {name!r}: not a file here, and not one of {known}")


def load_recipe(source: str | Path | None = None) -> Recipe:
    """A recipe from a YAML file, or one that ships with the package, by name.

    Args:
        source: a path or a name; None is the default study.

    Raises:
        ConfigError: no such recipe, or a field that does not fit.
    """
    text, name = _text(source)
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"recipe {name} is not valid: {faults_in_one_line(error)}") from error


def changed_recipe(recipe: Model, update: Mapping[str, Any]) -> Model:
    """A recipe with other values, checked like the ones it came with.

    Args:
        recipe: stays as it is.
        update: field -> value; None leaves a field alone, a mapping changes fields of a part.

    Raises:
        ConfigError: a value that a field cannot have.
    """
    wanted = {name: value for name, value in update.items() if value is not None}
    if not wanted:
        return recipe
    fields = recipe.model_dump()
    for name, value in wanted.items():
        fields[name] = fields[name] | dict(value) if isinstance(value, Mapping) else value
    try:
        return type(recipe).model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"recipe: {faults_in_one_line(error)}") from error
