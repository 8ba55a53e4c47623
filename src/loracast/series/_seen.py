"""Which series a model was trained on: small digests that recognise them again in another file.

Knows values alone. Ids, times, names of columns and the file's format play no part, so a part of
a file, or of a series, is recognised as well; values that were scaled or rounded are not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import Any

import numpy as np

from loracast.series._panel import Panel

__all__ = ["seen_record", "trained_until"]

# An anchor is the digest of so many successive values of one channel; every series keeps its first
# and last one and one for each stretch between, so that a part of WINDOW + SPACING steps is known.
WINDOW, SPACING = 16, 128
LEAST_DISTINCT = 8  # values of an anchor: runs of zeros are alike in series that are not
DIGEST_BYTES = 6  # 1e6 anchors against 1e6 windows: 0.4 % chance of one false match


def seen_record(*panels: Panel) -> dict[str, Any]:
    """What to keep of the series a model is trained on, as JSON facts.

    About 16 bytes a channel of a short series: 0.03 MB for 800 series of 100 steps and 2 channels.

    Args:
        *panels: N series in all, of any lengths.

    Returns:
        `n_series`, `window`, and `digests`: compressed pairs of a digest and how many steps of
        training data began there.
    """
    digests, remaining = bytearray(), []
    for values in (v for panel in panels for v in panel.values):
        for channel in _canonical(values).T:
            for start, stop in _anchors(channel):
                digests += _digest(channel[start:stop])
                remaining.append(len(channel) - start)
    packed = zlib.compress(bytes(digests) + np.array(remaining, dtype="<u4").tobytes(), 9)
    return {
        "n_series": sum(map(len, panels)),
        "window": WINDOW,
        "digests": base64.b64encode(packed).decode("ascii"),
    }


def trained_until(panel: Panel, record: dict[str, Any]) -> np.ndarray:
    """Up to which step each series was trained on.

    Args:
        panel: N series.
        record: of `seen_record`.

    Returns:
        (N,) steps from the start that training data reaches, 0 for a series it did not hold;
        more than the length where the training series went on.

    Raises:
        ValueError: no record of this form.
    """
    known = _unpacked(record)
    out = np.zeros(len(panel), dtype=np.int64)
    for n, values in enumerate(panel.values):
        for channel in _canonical(values).T:
            windows = range(len(channel) - WINDOW + 1)
            places = [(p, p + WINDOW) for p in windows] + [(0, len(channel))]
            for start, stop in places:
                length = known.get(_digest(channel[start:stop]))
                if length is not None:
                    out[n] = max(out[n], start + length)
    return out


def _unpacked(record: dict[str, Any]) -> dict[bytes, int]:
    """Digest -> steps of training data from there on, the most where several agree."""
    try:
        raw = zlib.decompress(base64.b64decode(record["digests"], validate=True))
    except (KeyError, TypeError, zlib.error, binascii.Error) as error:
        raise ValueError(f"no record of training series ({error})") from error
    width = DIGEST_BYTES + 4
    if record.get("window") != WINDOW or len(raw) % width:
        raise ValueError("a record of training series in another form")
    count = len(raw) // width
    lengths = np.frombuffer(raw[count * DIGEST_BYTES :], dtype="<u4")
    known: dict[bytes, int] = {}
    for i in range(count):
        digest = raw[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES]
        known[digest] = max(known.get(digest, 0), int(lengths[i]))
    return known


def _canonical(values: np.ndarray) -> np.ndarray:
    """(T, C) float32 with one NaN and one zero: what a file in single precision still holds."""
    with np.errstate(over="ignore", under="ignore"):
        out = np.asarray(values, dtype=np.float32) + np.float32(0.0)
    out[np.isnan(out)] = np.nan
    return out


def _digest(channel: np.ndarray) -> bytes:
    data = np.ascontiguousarray(channel, dtype="<f4").tobytes()
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _anchors(channel: np.ndarray) -> list[tuple[int, int]]:
    """Where the anchors of a channel lie; all of it where no stretch tells enough."""
    last = len(channel) - WINDOW
    found: list[tuple[int, int]] = []
    for begin in range(0, last + 1, SPACING):
        end = min(begin + SPACING, last + 1)
        telling = next((s for s in range(begin, end) if _tells(channel[s : s + WINDOW])), None)
        if telling is not None:
            found.append((telling, telling + WINDOW))
    telling = next((s for s in range(last, -1, -1) if _tells(channel[s : s + WINDOW])), None)
    if telling is not None and (telling, telling + WINDOW) not in found:
        found.append((telling, telling + WINDOW))
    return found or ([(0, len(channel))] if len(channel) else [])


def _tells(window: np.ndarray) -> bool:
    return len(np.unique(window[np.isfinite(window)])) >= LEAST_DISTINCT
