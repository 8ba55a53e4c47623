"""What a study leaves behind: `result.json`, as models that refuse what they do not know.

Knows nothing of how a study runs. Numbers are finite or null: a value that cannot be computed
(a diverged loss, an error of an empty set) is null in the file, never NaN or Infinity.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    create_model,
    model_validator,
)

from loracast.errors import StorageError
from loracast.evaluation import METRICS
from loracast.files import write_whole
from loracast.studies._verdict import verdict_lines

__all__ = [
    "BudgetInfo",
    "DataInfo",
    "MachineInfo",
    "MethodResult",
    "ModelInfo",
    "Scores",
    "StageResult",
    "StudyResult",
    "make_verdict",
    "read_result",
    "write_result",
    "write_text_atomically",
]

_HORIZON_KEY = re.compile(r"h([1-9]\d*)")


def _null_if_not_finite(value: object) -> object:
    try:
        number = float(value)  # type: ignore[arg-type]  # numpy scalars pass, text is refused below
    except (TypeError, ValueError):
        return value
    return value if isinstance(value, str) else (number if math.isfinite(number) else None)


Number = Annotated[float | None, BeforeValidator(_null_if_not_finite)]
Count = Annotated[int, Field(ge=0)]
Flops = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


_METRIC_FIELDS: dict[str, Any] = {
    metric.name: (Number, Field(default=None, description=metric.meaning or None))
    for metric in METRICS.values()
}


class Scores(create_model("Scores", __base__=Record, **_METRIC_FIELDS)):  # type: ignore[misc]
    """One method at one horizon, in original units: mean over series, steps and channels.

    A field for every metric of the registry, in its order; null where there is no score.
    """


class MethodResult(Record):
    """One method: its scores under "h<steps>" keys, what it cost, and a remark.

    Args:
        flops: what the forecasts cost by the study's convention; null for methods that are not
            language models (they report seconds).
        seconds: of forecasting: wall time of a language model without its training, CPU time of
            the others with the fit of each series.
        note: what a reader has to know, such as why there are no scores.
        **horizons: `h5=Scores(...)`, `h20=Scores(...)`, ...
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())
    __pydantic_extra__: dict[str, Scores] = Field(init=False)

    flops: Number = None
    seconds: Number = None
    note: str = ""

    @model_validator(mode="after")
    def _extras_are_horizons(self) -> MethodResult:
        for key in self.__pydantic_extra__:
            if not _HORIZON_KEY.fullmatch(key):
                raise ValueError(f"got the field {key!r}; expected h<steps>, flops, seconds, note")
        return self

    @property
    def horizons(self) -> dict[int, Scores]:
        """Steps -> scores, in ascending order."""
        return dict(sorted((int(k[1:]), v) for k, v in self.__pydantic_extra__.items()))


class DataInfo(Record):
    """Which series the study saw, and a fingerprint of them.

    Args:
        kind: read from a file, or made by a generator of this package.
        path: the file as it was named; null for generated data.
        generator: the generator's name and arguments; null for files.
        sha256: of the file's bytes, or of the generated values' bytes.
        n_train, n_val, n_test: numbers of series.
        evaluated_on: the split that `test` scores; "validation" where the test set is kept aside.
        n_steps: steps per series, null where lengths differ.
        channels: names of the C columns.
        context: steps given to every method before it forecasts.
    """

    kind: Literal["file", "generated"]
    path: str | None = None
    generator: dict[str, JsonValue] | None = None
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    n_train: Count
    n_val: Count
    n_test: Count
    evaluated_on: Literal["test", "validation"]
    n_steps: Count | None = None
    channels: tuple[str, ...] = ()
    context: Count | None = None


class ModelInfo(Record):
    """The base, what was added to it, and how it is shown numbers.

    Args:
        name: "embedded", a folder or a hub id.
        base_hash: of the base's weights as used.
        n_parameters: of the base with its pruned vocabulary.
        n_trainable: of what was adapted.
        vocab_kept: V tokens left after pruning.
        codec: name and options of the codec.
        adapter: rank, targets, alpha, ... of the final adapter.
        architecture: layers, hidden, heads, ...
        pretraining_flops: what the base itself cost, where known; shown, never charged.
    """

    name: str
    base_hash: str | None = None
    n_parameters: Count | None = None
    n_trainable: Count | None = None
    vocab_kept: Count | None = None
    codec: dict[str, JsonValue] = {}
    adapter: dict[str, JsonValue] = {}
    architecture: dict[str, JsonValue] = {}
    pretraining_flops: Number = None


class BudgetInfo(Record):
    """The FLOPs that were allowed, and where the spent ones went (sums of the ledger).

    `repeated_flops`, a part of those spent, went into work that ran again after an interruption.
    """

    convention: str
    limit_flops: Flops
    spent_flops: Flops
    by_stage: dict[str, Flops] = {}
    by_kind: dict[str, Flops] = {}
    repeated_flops: Flops = 0.0


class StageResult(Record):
    """One stage of the study, in the order they ran; failures are kept as results too."""

    name: str
    config: dict[str, JsonValue] = {}
    train_loss: Number = None
    val_loss: Number = None
    val_mae: Number = None
    metrics: dict[str, Number | dict[str, Number]] = {}
    flops: Flops = 0.0
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    status: Literal["done", "skipped", "failed", "stopped"] = "done"
    note: str = ""


class MachineInfo(Record):
    """Where a study was finished, and in which precision it trained: both decide last digits.

    A study that went on elsewhere names the last machine; each stage's config has its precision.

    Args:
        precision: of training, 'fp32' or 'bf16'; forecasts are computed in float32.
        threads: of torch, within one operation.
        system, architecture, cpu, accelerator, capability, matrix_units: see `training.Machine`.
    """

    precision: str
    threads: Count
    system: str
    architecture: str
    cpu: str = ""
    accelerator: str = ""
    capability: str = ""
    matrix_units: bool = False


class StudyResult(Record):
    """All of `result.json`.

    Args:
        machine: where it was finished; null in results of earlier versions.
        test: method -> scores and cost, on the split that `data.evaluated_on` names.
        verdict: lines of plain words, the first one the headline (`make_verdict`).
        details: anything else that a reader may want; nothing depends on it.
    """

    schema_version: Literal[1] = 1
    created: AwareDatetime
    versions: dict[str, str]
    machine: MachineInfo | None = None
    seed: int
    data: DataInfo
    model: ModelInfo
    budget: BudgetInfo
    stages: tuple[StageResult, ...]
    test: dict[str, MethodResult]
    verdict: str
    details: dict[str, JsonValue] | None = None


def make_verdict(
    test: Mapping[str, MethodResult | Mapping[str, Any]],
    metric: str = "mae",
    *,
    evaluated_on: str = "test",
) -> str:
    """Say in plain words how the adapted model fared, losses first.

    Args:
        test: method -> result, as in `StudyResult.test`; plain dicts of that form will do.
        metric: a lower-is-better field of `Scores`.
        evaluated_on: the split that was scored, as in `DataInfo`.

    Returns:
        Lines joined by newlines: the headline, a line per group of methods, what is missing.
    """
    if metric not in METRICS or METRICS[metric].better != "lower":
        raise ValueError(f"got metric {metric!r}; expected an error such as mae, rmse or crps")
    errors, notes = {}, {}
    for method, row in test.items():
        result = row if isinstance(row, MethodResult) else MethodResult.model_validate(dict(row))
        errors[method] = {h: getattr(scores, metric) for h, scores in result.horizons.items()}
        notes[method] = result.note
    lines = verdict_lines(errors, METRICS[metric].label, evaluated_on=evaluated_on, notes=notes)
    return "\n".join(lines)


def write_result(result: StudyResult, path: str | Path) -> Path:
    """Write `result.json` whole or not at all.

    Raises:
        StorageError: the file cannot be written; an older one is left as it was.
    """
    return write_text_atomically(Path(path), dump_json(result))


def read_result(path: str | Path) -> StudyResult:
    """Read and check a `result.json`.

    Raises:
        StorageError: no such file, not JSON, or not what the schema says, in one line.
    """
    return load_json(Path(path), StudyResult)


Model = TypeVar("Model", bound=BaseModel)


def dump_json(model: BaseModel) -> str:
    """The model as indented JSON in which every number is finite."""
    content = model.model_dump(mode="json")
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load_json(path: Path, model: type[Model]) -> Model:
    """Read one of this room's JSON files, or say in one line why it is none."""
    remedy = "; expected what `loracast study run` writes: run it again"
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise StorageError(f"{path}: got no such file{remedy}") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        message = first["msg"].replace("\n", " ")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise StorageError(f"{path}: at {where}: {message}{more}{remedy}") from None


def write_text_atomically(path: Path, text: str) -> Path:
    """`write_whole`, into folders that need not exist.

    Raises:
        StorageError: the folder cannot be written or is full; no half-written file is left.
    """
    remedy = "make room or name another folder, then run the same command again"
    return write_whole(path, text, parents=True, remedy=remedy)
