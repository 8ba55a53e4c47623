"""What an adapter was trained on, held against the series it is to be scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import read_manifest
from loracast.errors import ConfigError, DataError
from loracast.series import Panel, data_sha256, trained_until

__all__ = ["SEEN_RULES", "check_seen_rule", "choose_unseen", "known_until"]

# auto: score what was not trained on if there is any, else everything, with a label;
# label: score everything, with a label; drop: score only what was not trained on; refuse: stop.
SEEN_RULES = ("auto", "label", "drop", "refuse")


def check_seen_rule(rule: str) -> str:
    """A rule that exists.

    Raises:
        ConfigError: another one.
    """
    if rule not in SEEN_RULES:
        raise ConfigError(f"got --seen {rule!r}; expected one of {', '.join(SEEN_RULES)}")
    return rule


def known_until(panel: Panel, folder: Path) -> tuple[np.ndarray, bool]:
    """Up to which step each series was known when an adapter was made.

    By the digests of its training and validation series; of an adapter without them, by the hash
    of its data: then all of the same file.

    Args:
        panel: N series.
        folder: of the adapter.

    Returns:
        (N,) steps from the start, 0 for a series that was not there; and whether the adapter says
        on what it was trained.
    """
    facts = read_manifest(folder).training
    record, data = facts.get("seen"), facts.get("data_sha256")
    if isinstance(record, dict):
        try:
            return trained_until(panel, record), True
        except ValueError:
            pass  # a later form of record: the hash of the data is what is left
    same = data is not None and data in (panel.meta.get("sha256"), data_sha256(panel))
    return panel.lengths if same else np.zeros(len(panel), dtype=np.int64), data is not None


def choose_unseen(
    seen: np.ndarray, rule: str, told: bool
) -> tuple[np.ndarray, dict[str, Any], str]:
    """Which forecasts are scored, by the stated rule.

    Args:
        seen: (N,) whether steps that a forecast is scored on were known to the adapter.
        rule: one of `SEEN_RULES`.
        told: whether the adapter says on what it was trained.

    Returns:
        (N,) which are scored; JSON facts; and a remark for people, "" where there is nothing to
        say.

    Raises:
        DataError: rule 'refuse' and one is known, or 'drop' and none is left.
    """
    n_seen, n = int(seen.sum()), len(seen)
    keep = np.ones(n, dtype=bool)
    note = ""
    if n_seen and rule == "refuse":
        raise DataError(
            f"the adapter was trained on the scored steps of {n_seen} of {n} forecasts, or chosen "
            "by them; give other series, or --seen drop or label"
        )
    if n_seen == n and rule == "drop":
        raise DataError(
            f"the adapter was trained on the scored steps of all {n} forecasts, or chosen by them; "
            "--seen drop leaves nothing: give other series, or --seen label"
        )
    if 0 < n_seen < n and rule in ("auto", "drop"):
        keep = ~seen
        note = (
            f"scored are the {n - n_seen} of {n} forecasts whose steps the adapter has not seen; "
            f"it was trained on those of the other {n_seen}, or chosen by them (--seen label "
            "scores all)"
        )
    elif n_seen:
        note = (
            f"the adapter was trained on the scored steps of {n_seen} of these {n} forecasts, or "
            "chosen by them: its scores are no test of it"
        )
    elif not told:
        note = "the adapter does not say which series it was trained on"
    facts = {
        "rule": rule,
        "n_seen": n_seen,
        "n_scored": int(keep.sum()),
        "scored_on_training_data": bool((seen & keep).any()),
    }
    return keep, facts, note
