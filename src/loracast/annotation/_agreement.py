"""The agreement filter: rows are kept where teacher and rule say the same, others are logged.

Each rejection is one line of JSON with the field, both labels and the reason, so that nothing is
dropped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS, label_of
from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._sentences import sentence_labels
from loracast.annotation._teachers import TeacherLabel
from loracast.errors import AnnotationError, StorageError

__all__ = ["Agreement", "Rejection", "filter_agreement", "write_rejections"]


@dataclass(frozen=True)
class Rejection:
    """Why a row was not kept.

    Args:
        row: its position among the rows asked about, from 0.
        id: of the series.
        field: in which teacher and rule differ; "answer" where there is no usable answer.
        teacher, rule: their labels, None where they say nothing.
        reason: in words.
    """

    row: int
    id: str
    field: str
    teacher: str | None
    rule: str | None
    reason: str


@dataclass(frozen=True)
class Agreement:
    """Rows kept, and the log of the others.

    Args:
        kept: the series with the facts that passed.
        rejections: one for each row and field that did not.
        not_asked: rows that the teacher was not asked about, because a cap ended the run.
    """

    kept: tuple[AnnotatedSeries, ...]
    rejections: tuple[Rejection, ...]
    not_asked: int = 0

    @property
    def by_field(self) -> dict[str, int]:
        """Rejections of each field that has any; "answer" is no usable answer."""
        names = [r.field for r in self.rejections]
        return {name: names.count(name) for name in ("answer", *LABEL_FIELDS) if name in names}

    @property
    def rows_rejected(self) -> int:
        """Rows with at least one rejection."""
        return len({r.row for r in self.rejections})


def filter_agreement(
    items: Sequence[AnnotatedSeries],
    labels: Sequence[TeacherLabel],
    rules: Sequence[TeacherLabel],
    fields: Sequence[str] = LABEL_FIELDS,
    *,
    teacher: str,
    rule: str,
    fill: bool = True,
) -> Agreement:
    """Keep the rows in which teacher and rule agree.

    A kept row has the rule's facts, with its numbers (places, slope, sigma), and in a field that
    did not have to agree the teacher's label, where it gives one. Without `fill` it has all that
    the teacher says and nothing of the rule.

    Args:
        items: N series.
        labels: N, of the teacher.
        rules: N, of the rule.
        fields: that have to agree, some of trend, noise, max and min; none keeps every answer.
        teacher: its name, for the log and the provenance.
        rule: likewise.
        fill: whether a kept row takes the rule's facts; a rule that only selects rows does not.

    Raises:
        AnnotationError: an unknown field, or numbers of rows that differ.
    """
    unknown = [name for name in fields if name not in LABEL_FIELDS]
    if unknown:
        raise AnnotationError(f"got the fields {unknown}; expected some of {list(LABEL_FIELDS)}")
    if not len(items) == len(labels) == len(rules):
        raise AnnotationError(
            f"got {len(items)} series, {len(labels)} labels and {len(rules)} of the rule; "
            "expected as many of each"
        )
    kept, rejections, not_asked = [], [], 0
    for row, (item, label, truth) in enumerate(zip(items, labels, rules, strict=True)):
        if not label.asked:
            not_asked += 1
            continue
        found = _differences(row, item, label, truth, fields, teacher, rule)
        rejections += found
        if not found:
            assert label.facts is not None
            facts = label.facts
            if fill and truth.facts is not None:
                facts = _merged(truth.facts, facts)
            origin = {**item.provenance, "teacher": teacher, **label.provenance}
            if fields:
                origin |= {"rule": rule, "agreed": list(fields)}
            own = label.facts is item.facts  # the sentences then say the same
            kept.append(
                replace(
                    item,
                    facts=facts,
                    annotation=item.annotation if own and not fill else None,
                    sentences=item.sentences if own else None,
                    provenance=origin,
                )
            )
    return Agreement(tuple(kept), tuple(rejections), not_asked)


def _differences(
    row: int,
    item: AnnotatedSeries,
    label: TeacherLabel,
    truth: TeacherLabel,
    fields: Sequence[str],
    teacher: str,
    rule: str,
) -> list[Rejection]:
    if label.facts is None:
        return [Rejection(row, item.id, "answer", None, None, f"{teacher}: {label.reason}")]
    found = []
    for name in fields:
        said, ruled = label_of(label.facts, name), label_of(truth.facts, name)
        if said is not None and said == ruled:
            continue
        if ruled is None:
            reason = f"{rule} says nothing" + (f" ({truth.reason})" if truth.reason else "")
        elif said is None:
            reason = f"{teacher} gives no single label, {rule} says {ruled}" + _several(item, name)
        else:
            reason = f"{teacher} says {said}, {rule} says {ruled}"
        found.append(Rejection(row, item.id, name, said, ruled, reason))
    return found


def _several(item: AnnotatedSeries, name: str) -> str:
    told = () if item.sentences is None else sentence_labels(item.sentences)[name]
    return f" (its sentence names {', then '.join(told)})" if len(told) > 1 else ""


def _merged(truth: SeriesFacts, said: SeriesFacts) -> SeriesFacts:
    """The rule's facts; where the teacher gives another label, the teacher's."""
    changed = {
        name: label
        for name in LABEL_FIELDS
        if (label := label_of(said, name)) not in (None, label_of(truth, name))
    }
    if not changed:
        return truth
    extrema = {e.kind: e for e in truth.extrema}
    extrema |= {e.kind: e for e in said.extrema if e.kind in changed}
    out = replace(
        truth,
        extrema=tuple(extrema[kind] for kind in ("max", "min") if kind in extrema),
        clear=truth.clear - set(changed),
    )
    if "trend" in changed:
        out = replace(out, trend=changed["trend"], slope=said.slope)
    if "noise" in changed:
        out = replace(out, noise=changed["noise"], sigma=said.sigma)
    return out


def write_rejections(path: str | Path, rejections: Sequence[Rejection]) -> int:
    """Write the log, one line of JSON a rejection; returns how many.

    Raises:
        StorageError: a path that cannot be written.
    """
    lines = [json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in rejections]
    try:
        Path(path).write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    return len(lines)
