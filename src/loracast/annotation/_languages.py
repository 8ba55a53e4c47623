"""The languages that annotations are put into words in: numbers, lists, and words of no one field.

What is said about a field stands in the field's own file, by the code of the language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loracast.errors import AnnotationError

__all__ = ["LANGUAGES", "Language", "language_of"]


@dataclass(frozen=True)
class Language:
    """One language; templates take the names in braces.

    Args:
        code: "en", ...
        steps, a_step: of a series, as in "12 steps" and "0.5 kW a step".
        uncertain, unasked: of the fields that are left out.
        short, too_short: what the notes say.
        comma, last: between the parts of a list, and before its last one.
        then: between the last two stretches of a trend.
        value: of an extremum, behind its name.
        percent: the sign, with the space before it.
        point: of a decimal number.
        between: sentences.
    """

    code: str
    steps: str
    a_step: str
    uncertain: str
    unasked: str
    short: str
    too_short: str
    comma: str
    last: str
    then: str
    value: str
    percent: str = " %"
    point: str = "."
    between: str = " "

    def number(self, value: float, form: str | None = None) -> str:
        """In the format given; without one to six digits, from 1e5 to ten, from 1e9 exactly."""
        size = abs(value)
        if form is None and size >= 1e9:
            text = repr(float(value)).removesuffix(".0")
        else:
            text = f"{value:{form or ('.6g' if size < 1e5 else '.10g')}}"
        return text.replace(".", self.point)

    def listed(self, parts: Sequence[str], last: str | None = None) -> str:
        """The parts as a list."""
        head, tail = parts[:-1], parts[-1:]
        return (last or self.last).join([self.comma.join(head), *tail]) if head else "".join(tail)


_LANGUAGES = (
    Language(
        code="en",
        steps="steps",
        a_step="a step",
        uncertain="Not certain enough to be stated: {names}.",
        unasked="Not described: {names}.",
        short="Fewer points are known than the annotator learned from (length {length}); all but "
        "the maximum and the minimum is less certain.",
        too_short="Too few points are known to judge the series (length {length}); its trend is "
        "that of its net change.",
        comma=", ",
        last=" and ",
        then=", then ",
        value=", {value},",
        percent="%",
    ),
    Language(
        code="fr",
        steps="pas",
        a_step="par pas",
        uncertain="Trop incertain pour être affirmé : {names}.",
        unasked="Non décrit : {names}.",
        short="Moins de points sont connus que dans l'apprentissage (longueur {length}) ; tout, "
        "sauf le maximum et le minimum, est moins certain.",
        too_short="Trop peu de points sont connus pour juger la série (longueur {length}) ; sa "
        "tendance est celle de sa variation nette.",
        comma=", ",
        last=" et ",
        then=", puis ",
        value=", {value},",
        point=",",
    ),
    Language(
        code="zh",
        steps="步",
        a_step="每步",
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
    ),
)
_BY_CODE = {language.code: language for language in _LANGUAGES}
LANGUAGES = tuple(_BY_CODE)


def language_of(code: str) -> Language:
    """The language of a code.

    Raises:
        AnnotationError: another one.
    """
    if code not in _BY_CODE:
        raise AnnotationError(f"got language {code!r}; expected one of {', '.join(LANGUAGES)}")
    return _BY_CODE[code]
