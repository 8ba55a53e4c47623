"""Prose rendered from the fields of an annotation, so that it cannot contradict them.

One sentence a field; a field that is null is passed over, or named in the last sentences where the
annotation abstains from it: not certain enough, or not described at all. No model writes any of
this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loracast.annotation._schema import Annotation, ExtremumPoint, Trend
from loracast.errors import AnnotationError

__all__ = ["LANGUAGES", "prose", "prose_sentences"]


@dataclass(frozen=True)
class _Language:
    """The words of one language; templates take the names in braces."""

    labels: Mapping[str, str]
    fields: Mapping[str, str]
    steps: str
    a_step: str
    trend: str
    trend_plain: str
    segments: str
    segment: str
    segment_point: str
    noise: str
    noise_plain: str
    extremum: Mapping[str, str]
    extremum_plain: Mapping[str, str]
    season: str
    season_plain: str
    no_season: str
    changes: Sequence[str]  # none, one, several
    outliers: Sequence[str]
    correlation: str
    uncertain: str
    unasked: str
    short: str
    too_short: str
    comma: str
    last: str
    then: str  # between the last two stretches of the trend
    value: str  # of an extremum, behind its name
    percent: str = " %"
    point: str = "."  # of a decimal number
    between: str = " "


_ENGLISH = _Language(
    labels={
        "increasing": "increasing", "decreasing": "decreasing", "flat": "flat",
        "low": "low", "medium": "medium", "high": "high",
        "beginning": "at the beginning", "middle": "in the middle", "end": "at the end",
    },
    fields={
        "trend": "trend", "noise": "noise", "max": "maximum", "min": "minimum",
        "seasonality": "seasonality", "change_points": "change points",
        "segments": "trend segments", "outliers": "outliers", "correlation": "correlation",
    },
    steps="steps",
    a_step="a step",
    trend="The overall trend is {label} (slope {slope}).",
    trend_plain="The overall trend is {label}.",
    segments="In stretches it is {parts}.",
    segment="{label} from {start} to {end}",
    segment_point="{label} at {start}",
    noise="The noise level is {level} (standard deviation {sigma} of the range).",
    noise_plain="The noise level is {level}.",
    extremum={
        "max": "The global maximum{value} is {region} (index {index}).",
        "min": "The global minimum{value} is {region} (index {index}).",
    },
    extremum_plain={
        "max": "The global maximum{value} is {region}.",
        "min": "The global minimum{value} is {region}.",
    },
    season="A season repeats every {period} (strength {strength}).",
    season_plain="A season repeats every {period}.",
    no_season="There is no season.",
    changes=(
        "There is no change point.", "There is a change point at {places}.",
        "There are change points at {places}.",
    ),
    outliers=(
        "There is no outlier.", "There is an outlier at {places}.",
        "There are outliers at {places}.",
    ),
    correlation="The correlation of the two channels is {value}.",
    uncertain="Not certain enough to be stated: {names}.",
    unasked="Not described: {names}.",
    short="Fewer points are known than the annotator learned from (length {length}); all but the "
    "maximum and the minimum is less certain.",
    too_short="Too few points are known to judge the series (length {length}); its trend is that "
    "of its net change.",
    comma=", ",
    last=" and ",
    then=", then ",
    value=", {value},",
    percent="%",
)  # fmt: skip

_FRENCH = _Language(
    labels={
        "increasing": "à la hausse", "decreasing": "à la baisse", "flat": "stable",
        "low": "faible", "medium": "moyen", "high": "élevé",
        "beginning": "au début", "middle": "au milieu", "end": "à la fin",
    },
    fields={
        "trend": "tendance", "noise": "bruit", "max": "maximum", "min": "minimum",
        "seasonality": "saisonnalité", "change_points": "points de rupture",
        "segments": "segments de tendance", "outliers": "valeurs aberrantes",
        "correlation": "corrélation",
    },
    steps="pas",
    a_step="par pas",
    trend="La tendance générale est {label} (pente {slope}).",
    trend_plain="La tendance générale est {label}.",
    segments="Par segments, elle est {parts}.",
    segment="{label} de {start} à {end}",
    segment_point="{label} en {start}",
    noise="Le niveau de bruit est {level} (écart-type : {sigma} de l'étendue).",
    noise_plain="Le niveau de bruit est {level}.",
    extremum={
        "max": "Le maximum global{value} se trouve {region} (indice {index}).",
        "min": "Le minimum global{value} se trouve {region} (indice {index}).",
    },
    extremum_plain={
        "max": "Le maximum global{value} se trouve {region}.",
        "min": "Le minimum global{value} se trouve {region}.",
    },
    season="Une saison se répète tous les {period} (force {strength}).",
    season_plain="Une saison se répète tous les {period}.",
    no_season="Il n'y a pas de saisonnalité.",
    changes=(
        "Il n'y a pas de point de rupture.", "Il y a un point de rupture en {places}.",
        "Il y a des points de rupture en {places}.",
    ),
    outliers=(
        "Il n'y a pas de valeur aberrante.", "Il y a une valeur aberrante en {places}.",
        "Il y a des valeurs aberrantes en {places}.",
    ),
    correlation="La corrélation des deux canaux est de {value}.",
    uncertain="Trop incertain pour être affirmé : {names}.",
    unasked="Non décrit : {names}.",
    short="Moins de points sont connus que dans l'apprentissage (longueur {length}) ; tout, sauf "
    "le maximum et le minimum, est moins certain.",
    too_short="Trop peu de points sont connus pour juger la série (longueur {length}) ; sa "
    "tendance est celle de sa variation nette.",
    comma=", ",
    last=" et ",
    then=", puis ",
    value=", {value},",
    point=",",
)  # fmt: skip

_CHINESE = _Language(
    labels={
        "increasing": "上升", "decreasing": "下降", "flat": "平稳",
        "low": "低", "medium": "中等", "high": "高",
        "beginning": "开头", "middle": "中间", "end": "末尾",
    },
    fields={
        "trend": "趋势", "noise": "噪声", "max": "最大值", "min": "最小值",
        "seasonality": "季节性", "change_points": "变点", "segments": "分段趋势",
        "outliers": "异常点", "correlation": "相关性",
    },
    steps="步",
    a_step="每步",
    trend="总体趋势为{label}（斜率 {slope}）。",
    trend_plain="总体趋势为{label}。",
    segments="分段来看：{parts}。",
    segment="从 {start} 到 {end} {label}",
    segment_point="在 {start} {label}",
    noise="噪声水平为{level}（标准差为极差的 {sigma}）。",
    noise_plain="噪声水平为{level}。",
    extremum={
        "max": "全局最大值{value}位于序列{region}，索引为 {index}。",
        "min": "全局最小值{value}位于序列{region}，索引为 {index}。",
    },
    extremum_plain={
        "max": "全局最大值{value}位于序列{region}。",
        "min": "全局最小值{value}位于序列{region}。",
    },
    season="存在季节性，周期为 {period}（强度 {strength}）。",
    season_plain="存在季节性，周期为 {period}。",
    no_season="没有季节性。",
    changes=("没有变点。", "有一个变点，位于 {places}。", "有多个变点，位于 {places}。"),
    outliers=("没有异常点。", "有一个异常点，位于 {places}。", "有多个异常点，位于 {places}。"),
    correlation="两个通道的相关系数为 {value}。",
    uncertain="把握不足、未予说明：{names}。",
    unasked="未作描述：{names}。",
    short="已知点少于训练所用的序列（长度 {length}）；除最大值和最小值外，其余描述的把握较低。",
    too_short="已知点过少，无法判断该序列（长度 {length}）；其趋势仅依据净变化得出。",
    comma="、",
    last="和",
    then="，随后",
    value="（{value}）",
    percent="%",
    between="",
)  # fmt: skip

_LANGUAGES = {"en": _ENGLISH, "fr": _FRENCH, "zh": _CHINESE}
LANGUAGES = tuple(_LANGUAGES)


def prose(annotation: Annotation, language: str = "en") -> str:
    """The annotation in words: the sentences of `prose_sentences`, one after the other."""
    sentences = prose_sentences(annotation, language)
    return _LANGUAGES[language].between.join(sentences.values())


def prose_sentences(annotation: Annotation, language: str = "en") -> dict[str, str]:
    """One sentence for each field told, by field name; "uncertain", "unasked" and notes are last.

    Args:
        annotation: what to say.
        language: "en", "fr" or "zh".

    Raises:
        AnnotationError: another language.
    """
    if language not in _LANGUAGES:
        raise AnnotationError(f"got language {language!r}; expected one of {', '.join(LANGUAGES)}")
    words = _LANGUAGES[language]
    told: dict[str, str | None] = {
        "trend": _trend(annotation, words),
        "segments": _segments(annotation.trend or Trend(), words),
        "noise": _noise(annotation, words),
    }
    for kind in ("max", "min"):
        found = [e for e in annotation.extrema if e.kind == kind]
        told[kind] = _extremum(found[0], annotation.value_unit, words) if found else None
    told["seasonality"] = _season(annotation, words)
    for name, templates in (("change_points", words.changes), ("outliers", words.outliers)):
        points = getattr(annotation, name)
        if points is not None:
            text = templates[min(len(points), 2)]
            told[name] = text.format(places=_list([str(p.index) for p in points], words))
    if annotation.correlation is not None:
        told["correlation"] = words.correlation.format(
            value=_number(annotation.correlation, words, ".2f")
        )
    # What the source was not asked about comes without a confidence.
    uncertain = [n for n in annotation.abstained if n in annotation.confidence]
    unasked = [n for n in annotation.abstained if n not in annotation.confidence]
    for key, names, template in (
        ("uncertain", uncertain, words.uncertain),
        ("unasked", unasked, words.unasked),
    ):
        if names:
            told[key] = template.format(names=words.comma.join(words.fields[n] for n in names))
    for note, template in (("short_series", words.short), ("too_short", words.too_short)):
        if note in annotation.notes:
            told[note] = template.format(length=annotation.length)
    return {name: text for name, text in told.items() if text is not None}


def _number(value: float, words: _Language, form: str | None = None) -> str:
    """In the format given; without one to six digits, from 1e5 to ten, from 1e9 exactly."""
    size = abs(value)
    if form is None and size >= 1e9:
        text = repr(float(value)).removesuffix(".0")
    else:
        text = f"{value:{form or ('.6g' if size < 1e5 else '.10g')}}"
    return text.replace(".", words.point)


def _list(parts: Sequence[str], words: _Language, last: str | None = None) -> str:
    head, tail = parts[:-1], parts[-1:]
    return (last or words.last).join([words.comma.join(head), *tail]) if head else "".join(tail)


def _trend(annotation: Annotation, words: _Language) -> str | None:
    trend = annotation.trend
    if trend is None or trend.label is None:
        return None
    label = words.labels[trend.label]
    if trend.slope is None:
        return words.trend_plain.format(label=label)
    unit = f" {annotation.value_unit}" if annotation.value_unit else ""
    slope = f"{_number(trend.slope, words)}{unit} {words.a_step}"
    return words.trend.format(label=label, slope=slope)


def _segments(trend: Trend, words: _Language) -> str | None:
    """Of a series in several pieces; one piece is what the trend says."""
    if len(trend.segments) < 2 and (trend.label is not None or not trend.segments):
        return None
    parts = [
        (words.segment_point if s.start_position == s.end_position else words.segment).format(
            label=words.labels[s.label], start=s.start, end=s.end
        )
        for s in trend.segments
    ]
    return words.segments.format(parts=_list(parts, words, words.then))


def _noise(annotation: Annotation, words: _Language) -> str | None:
    noise = annotation.noise
    if noise is None or noise.level is None:
        return None
    level = words.labels[noise.level]
    if noise.sigma is None:
        return words.noise_plain.format(level=level)
    share = _number(100 * noise.sigma, words, ".3g") + words.percent
    return words.noise.format(level=level, sigma=share)


def _extremum(point: ExtremumPoint, unit: str | None, words: _Language) -> str:
    value = ""
    if point.value is not None:
        number = _number(point.value, words)
        value = words.value.format(value=f"{number} {unit}" if unit else number)
    place = {"value": value, "region": words.labels[point.region]}
    if point.index is None:
        return words.extremum_plain[point.kind].format(**place)
    return words.extremum[point.kind].format(**place, index=point.index)


def _season(annotation: Annotation, words: _Language) -> str | None:
    season = annotation.seasonality
    if season is None:
        return None if "seasonality" in annotation.abstained else words.no_season
    period = f"{_number(season.period, words)} {words.steps}"
    if season.strength is None:
        return words.season_plain.format(period=period)
    return words.season.format(period=period, strength=_number(season.strength, words, ".2f"))
