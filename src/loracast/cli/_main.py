"""The program `loracast`: its commands, and how every run ends.

Knows no command's work. Light on purpose: what needs torch is imported inside the commands.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from loracast import __version__
from loracast.cli import (
    _adapters,
    _annotate,
    _annotations,
    _backtest,
    _data,
    _fit,
    _flops,
    _forecast,
    _ledger,
    _plan,
    _pretrain,
    _study,
)
from loracast.errors import DamageWarning, LoracastError, LoracastWarning

__all__ = ["app", "main"]

USAGE_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT
GOING_ON = ("study run", "annotations train")  # with fit and pretrain
BROKEN_PIPE = 141  # 128 + SIGPIPE

app = typer.Typer(
    name="loracast",
    help="Adapt a small language model to time series, under a FLOPs budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"loracast {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Adapt a small language model to time series, under a FLOPs budget."""
    del version


app.add_typer(_study.app, name="study")
app.command("plan")(_plan.plan)
app.command("forecast")(_forecast.forecast)
app.command("fit")(_fit.fit)
app.command("annotate")(_annotate.annotate)
app.command("backtest", cls=_backtest.BacktestCommand)(_backtest.backtest)
app.command("flops")(_flops.flops)
app.command("pretrain")(_pretrain.pretrain)
app.add_typer(_ledger.app, name="ledger")
app.add_typer(_adapters.app, name="adapters")
app.add_typer(_data.app, name="data")
app.add_typer(_annotations.app, name="annotations")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        The exit code: 0, 2 for a mistake of the user or the machine's limits (one line on
        stderr), 130 when interrupted.
    """
    try:
        with warnings.catch_warnings():
            # What libraries say to each other about their next versions is not for users.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", LoracastWarning)  # commands print notes of their own
            warnings.simplefilter("always", DamageWarning)
            warnings.showwarning = _warned(warnings.showwarning)
            code = app(args=argv, prog_name="loracast", standalone_mode=False)
            sys.stdout.flush()
    except LoracastError as error:
        return _failed(error, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(argv)
    except BrokenPipeError:
        _drop_stdout()
        return BROKEN_PIPE
    except OSError as error:
        _drop_stdout()
        return _failed(_os_message(error), USAGE_ERROR)
    except MemoryError:
        return _failed("out of memory; use fewer samples, shorter series or a smaller model")
    except Exception as error:
        # Typer's and click's usage errors; which module they live in depends on the version.
        if not hasattr(error, "format_message"):
            raise
        return _failed(f"{error.format_message()} (see loracast --help)", USAGE_ERROR)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code and says nothing
        return _interrupted(argv)
    return code if isinstance(code, int) else 0


def _warned(others: Callable[..., None]) -> Callable[..., None]:
    """Shows what is lost or damaged in one line, and leaves `others` to warn of everything else."""

    def show(message: Any, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, DamageWarning):
            typer.echo(f"warning: {' '.join(str(message).split())}", err=True)
        else:
            others(message, category, *rest)

    return show


def _interrupted(argv: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    fresh = " without --fresh" if "--fresh" in given else ""
    typer.echo(
        f"interrupted; the same command{fresh} goes on from what is whole"
        if _goes_on(given)
        else "interrupted; nothing of an unfinished run is kept, the same command starts over",
        err=True,
    )
    return INTERRUPTED


def _goes_on(argv: Sequence[str]) -> bool:
    """Whether a command keeps what it has done; only the answers of a server are cached."""
    command = " ".join(argv[:2])
    if command == "annotations generate":
        return "--teacher openai" in " ".join(argv).replace("=", " ")
    return command in GOING_ON or argv[:1] in (["fit"], ["pretrain"])


def _failed(message: Any, code: int = USAGE_ERROR) -> int:
    """Say what is wrong, in one line."""
    typer.echo(f"error: {' '.join(str(message).split())}", err=True)
    return code


def _os_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{where}{reason}"


def _drop_stdout() -> None:
    """Point stdout at nothing, so that flushing it at exit does not fail a second time."""
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
    except (OSError, ValueError):
        pass  # stdout is no file of its own, as under a test
