"""What the report draws beyond `result.json`: curves, examples and distributions, as plain data.

Every part may be absent; the report then says that it was not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from loracast.studies._schema import Number, Record, dump_json, load_json, write_text_atomically

__all__ = [
    "Column",
    "ContextRow",
    "ExampleForecast",
    "GradientNorms",
    "GridCell",
    "LossCurve",
    "LossPoint",
    "ReportData",
    "SpentBlock",
    "Table",
    "read_report_data",
    "write_report_data",
]

Cell = str | Number
Matrix = tuple[tuple[Number, ...], ...]  # (steps, C)


class LossPoint(Record):
    """The losses after so many optimiser steps; null where not measured at that step."""

    step: int
    train_loss: Number = None
    val_loss: Number = None
    lr: Number = None


class LossCurve(Record):
    """One training run: the stage it belongs to, and what sets it apart there ("lr 1e-3, r 8")."""

    stage: str
    label: str = ""
    points: tuple[LossPoint, ...]


class GridCell(Record):
    """A cell of the grid, judged on the validation series: means over its repeats, FLOPs in all."""

    lr: float
    rank: int
    repeats: int = 1
    val_mae: Number = None
    val_loss: Number = None
    flops: Number = None
    chosen: bool = False


class ContextRow(Record):
    """One context length tried, in time steps and in tokens, judged on the validation series."""

    context: int
    tokens: int | None = None
    repeats: int = 1
    val_mae: Number = None
    val_loss: Number = None
    flops: Number = None
    seconds: Number = None
    chosen: bool = False


class GradientNorms(Record):
    """L2 norms of the gradient of every LoRA A and B over one run.

    Args:
        stage: the stage of the run.
        steps: K optimiser steps at which they were taken.
        norms: parameter name (with "lora_A" or "lora_B" in it) -> K norms.
    """

    stage: str
    steps: tuple[int, ...]
    norms: dict[str, tuple[Number, ...]]

    @model_validator(mode="after")
    def _as_many_norms_as_steps(self) -> GradientNorms:
        for name, values in self.norms.items():
            if len(values) != len(self.steps):
                raise ValueError(
                    f"got {len(values)} norms of {name}; expected one per step, {len(self.steps)}"
                )
        return self


class ExampleForecast(Record):
    """One series as the adapted model saw and continued it, in original units.

    Args:
        context: (T, C) values given to the model.
        truth: (H, C) what came after, null if unknown.
        median: (H, C) the forecast.
        lo, hi: (H, C) edges of the central `level` % band, null for point forecasts.
    """

    series_id: str
    regime: str = ""
    channels: tuple[str, ...]
    context: Matrix
    truth: Matrix | None = None
    median: Matrix
    lo: Matrix | None = None
    hi: Matrix | None = None
    level: int = 80

    @model_validator(mode="after")
    def _shapes_agree(self) -> ExampleForecast:
        horizon = len(self.median)
        for name in ("context", "truth", "median", "lo", "hi"):
            rows: Matrix | None = getattr(self, name)
            if rows is None:
                continue
            if name != "context" and len(rows) != horizon:
                raise ValueError(f"got {len(rows)} steps in {name}; expected {horizon}, as median")
            if any(len(row) != len(self.channels) for row in rows):
                raise ValueError(f"got a row of {name} without {len(self.channels)} channels")
        return self


class Column(Record):
    """A column of a table and how its numbers are shown."""

    title: str
    unit: Literal["", "FLOPs"] = ""


class Table(Record):
    """What a stage shows that no other part of the report has a place for.

    Args:
        title: of its section.
        lead: what a reader has to know.
        columns: the first one names the row.
        rows: a cell for each column; null is shown as a dash.
    """

    title: str
    lead: str = ""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @model_validator(mode="after")
    def _as_many_cells_as_columns(self) -> Table:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"got a row of {len(row)} cells; expected {len(self.columns)}")
        return self


class SpentBlock(Record):
    """One settled entry: when (seconds since the epoch), for what, and how much."""

    time: float
    stage: str
    kind: str
    flops: float = Field(ge=0)


class ReportData(Record):
    """All of `report_data.json`.

    Args:
        running_error: method -> (H,) MAE at each step ahead, mean over series and channels.
        series_mae: method -> (N,) MAE of each series over the longest horizon.
        selected_by: what the search chose by, "" where it is not known.
        reasons: how each choice of the search was made, in words.
        val_mae_of: which forecasts the validation MAEs were taken on, in words.
        tables: of stages that the report has no other place for.
        value_unit: unit of the series' values, for axes.
        recipe: the recipe as text, as it was read.
        config: the resolved settings.
    """

    schema_version: Literal[1] = 1
    loss_curves: tuple[LossCurve, ...] = ()
    grid: tuple[GridCell, ...] = ()
    contexts: tuple[ContextRow, ...] = ()
    selected_by: Literal["val_mae", "val_loss", ""] = ""
    reasons: tuple[str, ...] = ()
    val_mae_of: str = ""
    gradient_norms: tuple[GradientNorms, ...] = ()
    examples: tuple[ExampleForecast, ...] = ()
    running_error: dict[str, tuple[Number, ...]] = Field(default_factory=dict)
    series_mae: dict[str, tuple[Number, ...]] = Field(default_factory=dict)
    ledger: tuple[SpentBlock, ...] = ()
    tables: tuple[Table, ...] = ()
    value_unit: str = "original units"
    recipe: str = ""
    config: dict[str, JsonValue] = Field(default_factory=dict)


def write_report_data(data: ReportData, path: str | Path) -> Path:
    """Write `report_data.json` whole or not at all; raises StorageError."""
    return write_text_atomically(Path(path), dump_json(data))


def read_report_data(path: str | Path) -> ReportData:
    """Read and check `report_data.json`; raises StorageError in one line."""
    return load_json(Path(path), ReportData)
