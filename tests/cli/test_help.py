"""Every command and option is explained in a full sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
import typer

from loracast.cli._main import app

SENTENCE = re.compile(r"\.$")
FRAGMENT = re.compile(r"^(Of|For|To|With|Whom|Its|Also with)\b")


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_command_and_its_options_speak_in_sentences(name: str) -> None:
    command = ALL[name]
    assert SENTENCE.search((command.help or "").splitlines()[0]), name
    for option in command.params:
        text = getattr(option, "help", "") or ""
        if option.name in ("help", "install_completion", "show_completion"):
            continue
        assert SENTENCE.search(text), f"{name} {option.opts}: {text!r}"
        assert text[0].isupper() or text.startswith("CSV"), f"{name} {option.opts}: {text!r}"
        assert not FRAGMENT.match(text), f"{name} {option.opts}: {text!r}"
        assert "[" not in text, f"{name} {option.opts}: {text!r} would be read as markup"


def test_what_is_written_is_what_is_shown(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    for name, option in (("forecast", "--level"), ("fit", "--rank"), ("backtest", "--season")):
        text = next(p.help for p in ALL[name].params if option in p.opts)
        assert " ".join(text.split()) in " ".join(run(name, "--help").out.split())
