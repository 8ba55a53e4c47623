"""The published three-sentence form, written from an annotation and read back by its words.

`{"trend": ..., "noise": ..., "extrema": ...}`, one English sentence each. The reader looks for
words, not for grammar: what it names twice differently ("up, then down", "low to medium") is
found as several labels, and only `sentence_labels` tells them; as a fact it is no single label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from loracast.annotation._facts import Extremum, SeriesFacts
from loracast.annotation._schema import UNKNOWN_INDEX, Annotation
from loracast.errors import AnnotationError

__all__ = [
    "SENTENCE_KEYS",
    "facts_from_sentences",
    "profile_sentences",
    "prose_labels",
    "sentence_labels",
]

SENTENCE_KEYS = ("trend", "noise", "extrema")

_TREND = {
    "increasing": r"increas\w*|upwards?|up|ris(?:e|es|ing)|rose|grow(?:s|ing|th)?|climb\w*"
    r"|ascend\w*|gains?",
    "decreasing": r"decreas\w*|downwards?|down|fall(?:s|ing)?|fell|declin\w*|drop(?:s|ped|ping)?"
    r"|descend\w*|shrink\w*|reduc\w*",
    "flat": r"flat|stable|constant|stationary|unchanged|horizontal|level(?:s off)?|plateau\w*"
    r"|sideways",
}
_NO_TREND = re.compile(
    r"\b(?:no|not|without|neither|lacks?)\b[^.;,]*?\b(?:trend|increas\w*|decreas\w*|upward\w*)"
    r"[^.;,]*"
)
_NOISE = {
    "low": r"low|small|slight|minor|minimal|little|weak|smooth|negligible|insignificant|noiseless"
    r"|no noise",
    "medium": r"medium|moderate|mid|intermediate|average",
    "high": r"high|strong|large|heavy|significant|considerable|severe|intense",
}
# "No significant noise", "without large fluctuations", "not considerable": little of it. "Not high"
# may be medium, "not low" anything: they name no label, and the words after "but" do.
_NEGATION = r"(?:no|not|n['’]t|never|without|neither|nor|lacks?|lacking|free of|absence of|hardly)"
_DEGREE = r"(?:low|small|slight|minor|little|weak|medium|moderate|average|high|large|strong|heavy)"
_MARKED = r"(?:significant|considerable|severe|intense|strong|heavy|large|high|major)"
_NO_NOISE = re.compile(
    rf"\b{_NEGATION}\b (?:(?!but\b)\w+ ){{0,3}}?{_MARKED} (?:level of )?"
    rf"(?:noise|fluctuations?|variations?)\b"
    rf"|(?:\b|(?<=\w))(?:not|n['’]t|never|hardly) (?:\w+ )?(?:significant|considerable)\b"
)
_NOT_SO = re.compile(rf"(?:\b|(?<=\w)){_NEGATION}\b (?:(?!but\b)\w+ )?{_DEGREE}\b")
_REGION = {
    "beginning": r"beginning|begin|start|early|initial(?:ly)?|first|onset|left",
    "middle": r"middle|mid|mid-?point|cent(?:re|er)|halfway|half-way",
    "end": r"end|late|later|final|last|right",
}
_PROSE = {
    "trend": r"overall trend is (increasing|decreasing|flat)\b",
    "noise": r"noise level is (low|medium|high)\b",
    "max": r"global maximum.*? is (?:at|in) the (beginning|middle|end)(?=[. ])",
    "min": r"global minimum.*? is (?:at|in) the (beginning|middle|end)(?=[. ])",
}
_KIND = {"max": r"max(?:imum|ima)?|highest|peak|top", "min": r"min(?:imum|ima)?|lowest|trough"}


def _words(table: Mapping[str, str], text: str) -> list[tuple[int, int, str]]:
    """(start, end, label) of every word of the table, in the order of the text."""
    found = [
        (m.start(), m.end(), label)
        for label, pattern in table.items()
        for m in re.finditer(rf"\b(?:{pattern})\b", text)
    ]
    return sorted(found)


def _in_order(labels: list[str]) -> tuple[str, ...]:
    """Neighbours that are alike count once."""
    return tuple(b for a, b in zip([None, *labels], labels, strict=False) if a != b)


def _trend_labels(text: str) -> tuple[str, ...]:
    text = _NO_TREND.sub(lambda m: "flat".ljust(len(m[0])), text)
    return _in_order([label for _, _, label in _words(_TREND, text)])


def _noise_labels(text: str) -> tuple[str, ...]:
    text = _NO_NOISE.sub(lambda m: " low".ljust(len(m[0])), text)
    text = _NOT_SO.sub(lambda m: " " * len(m[0]), text)
    head = re.split(r"[,;.]| with | and the ", text, maxsplit=1)[0]
    return _in_order([label for _, _, label in _words(_NOISE, head) or _words(_NOISE, text)])


def _extremum_labels(text: str) -> dict[str, tuple[str, ...]]:
    kinds, regions = _words(_KIND, text), _words(_REGION, text)
    out: dict[str, tuple[str, ...]] = {"max": (), "min": ()}
    if not kinds or not regions:
        return out
    if regions[0][0] < kinds[0][0]:  # "at the start lies the maximum"
        spans = [(a[1] if i else 0, b[0]) for i, (a, b) in enumerate(_pairs(kinds))]
    else:
        ends = [k[0] for k in kinds[1:]] + [len(text)]
        spans = [(k[1], end) for k, end in zip(kinds, ends, strict=True)]
    told = [_in_order([r[2] for r in regions if a <= r[0] < b]) for a, b in spans]
    for i, (_, _, kind) in enumerate(kinds):
        # "maximum and minimum are both at the end": the first has the region of the next
        labels = next((t for t in told[i:] if t), ())
        out[kind] = out[kind] or labels
    return out


def _pairs(
    kinds: list[tuple[int, int, str]],
) -> list[tuple[tuple[int, int, str], tuple[int, int, str]]]:
    return list(zip([kinds[0], *kinds], kinds, strict=False))


def sentence_labels(sentences: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """All labels that the sentences name, in their order, under trend, noise, max and min.

    Args:
        sentences: some of the keys trend, noise and extrema, each an English sentence.

    Raises:
        AnnotationError: another key, or a value that is not text.
    """
    unknown = sorted(set(sentences) - set(SENTENCE_KEYS))
    if unknown:
        raise AnnotationError(f"got the keys {unknown}; expected some of {list(SENTENCE_KEYS)}")
    texts = {}
    for key in SENTENCE_KEYS:
        value = sentences.get(key, "")
        if not isinstance(value, str):
            raise AnnotationError(f"{key}: got {value!r:.60}; expected a sentence")
        texts[key] = value.lower()
    return {
        "trend": _trend_labels(texts["trend"]),
        "noise": _noise_labels(texts["noise"]),
        **_extremum_labels(texts["extrema"]),
    }


def facts_from_sentences(sentences: Mapping[str, Any], length: int) -> SeriesFacts:
    """The facts that the sentences state, each where they name exactly one label.

    Args:
        sentences: as `sentence_labels`.
        length: T of the series they describe.

    Returns:
        Facts with trend, noise and extrema, whose index is `UNKNOWN_INDEX` and value NaN.

    Raises:
        AnnotationError: as `sentence_labels`.
    """
    labels = {k: v[0] if len(v) == 1 else None for k, v in sentence_labels(sentences).items()}
    return SeriesFacts(
        length=length,
        trend=labels["trend"],
        noise=labels["noise"],
        extrema=tuple(
            Extremum(kind, UNKNOWN_INDEX, float("nan"), region)
            for kind in ("max", "min")
            if (region := labels[kind]) is not None
        ),
    )


def prose_labels(text: str) -> dict[str, str | None]:
    """The labels that English prose (`prose`) states, under trend, noise, max and min.

    For counting contradictions between prose and fields; None where it states none.
    """
    found = {name: re.search(pattern, text) for name, pattern in _PROSE.items()}
    return {name: m[1] if m else None for name, m in found.items()}


def profile_sentences(annotation: Annotation) -> dict[str, str]:
    """The published form of an annotation; what it does not say is called not certain."""
    facts = annotation.facts()
    article = "an" if facts.trend == "increasing" else "a"
    where = {e.kind: f"at the {e.region}" for e in facts.extrema}
    where = {k: v.replace("at the middle", "in the middle") for k, v in where.items()}
    names = {"max": "global maximum", "min": "global minimum"}
    told = [f"the {names[k]} is located {where[k]}" for k in ("max", "min") if k in where]
    extrema = " and ".join(told) or "the places of the extrema are not certain"
    return {
        "trend": f"The time series shows {article} {facts.trend} trend."
        if facts.trend
        else "The direction is not certain.",
        "noise": f"The noise intensity is {facts.noise}."
        if facts.noise
        else "The noise intensity is not certain.",
        "extrema": f"{extrema[0].upper()}{extrema[1:]}.",
    }
