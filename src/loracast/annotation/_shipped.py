"""The annotator that ships beside the embedded base: where it is, and that it is whole.

Knows files and digests, not models. `embedded-annotator.json` beside its folder is its card: how it
was made, how right it is, and the SHA-256 of each of its files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from loracast.annotation._settings import AnnotatorSettings
from loracast.errors import AdapterError, ConfigError
from loracast.files import sha256_of_file

__all__ = ["SHIPPED_CARD", "SHIPPED_DIR", "adapter_name", "check_asked", "shipped_annotator"]

SHIPPED_DIR = Path(__file__).resolve().parent / "embedded-annotator"
SHIPPED_CARD = SHIPPED_DIR.with_name("embedded-annotator.json")


def shipped_annotator(folder: Path = SHIPPED_DIR, card: Path = SHIPPED_CARD) -> Path:
    """The folder of the annotator, each of its files as its card says.

    Args:
        folder: of the adapter.
        card: its card.

    Raises:
        AdapterError: a file is missing, changed, too many, or no plain file of that folder.
    """
    try:
        digests = dict(json.loads(card.read_text(encoding="utf-8"))["sha256"])
        there = {path.name: path for path in folder.iterdir()}
        for name in sorted(there.keys() | digests.keys()):
            path = there.get(name)
            if path is None or path.is_symlink() or not path.is_file():
                raise _damaged(folder, f"{name!r} is missing, or no plain file")
            if sha256_of_file(path) != digests.get(name):
                raise _damaged(folder, f"{name!r} is another file than the one that was shipped")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _damaged(folder, f"{type(error).__name__}: {reason}") from error
    return folder


def adapter_name(folder: Path) -> str:
    """What an adapter is called in an annotation: the same wherever it lies.

    The first twelve digits of the SHA-256 of its tensors.
    """
    digest = sha256_of_file(*sorted(Path(folder).glob("*.safetensors")))
    own = "the annotator that ships with it, " if Path(folder) == SHIPPED_DIR else ""
    return f"{own}adapter {digest[:12]}"


def check_asked(
    settings: AnnotatorSettings, numbers: str | None, fields: Sequence[str] | None
) -> None:
    """Raises ConfigError where something is asked that the shipped annotator does not have."""
    wrong = []
    if numbers is not None and numbers != settings.numbers:
        wrong.append(f"numbers={numbers!r} (it reads {settings.numbers!r})")
    if fields is not None and set(fields) != set(settings.fields):
        wrong.append(f"fields={list(fields)} (it tells {', '.join(settings.fields)})")
    if wrong:
        raise ConfigError(
            f"got {' and '.join(wrong)} for the annotator that ships with the embedded base; leave "
            "it out, or take the base alone (bare=True) and fit it"
        )


def _damaged(folder: Path, why: str) -> AdapterError:
    return AdapterError(
        f"the annotator that ships with loracast, in {folder}, is damaged: {why}; install the "
        "package again, or name another (--adapter) or the base alone (--bare)"
    )
