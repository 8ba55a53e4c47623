"""The level of the noise: a label, and its standard deviation as a share of the range."""

from __future__ import annotations

import re
from collections.abc import Mapping

from loracast.annotation._facts import NOISE_LEVELS
from loracast.annotation._field import Cell, LabelField, found_words, in_order
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described, Noise

__all__ = ["NOISE"]

# With a standard deviation, and without.
_SAID = {
    "en": (
        "The noise level is {level} (standard deviation {sigma} of the range).",
        "The noise level is {level}.",
    ),
    "fr": (
        "Le niveau de bruit est {level} (écart-type : {sigma} de l'étendue).",
        "Le niveau de bruit est {level}.",
    ),
    "zh": ("噪声水平为{level}（标准差为极差的 {sigma}）。", "噪声水平为{level}。"),
}
# Of the published sentences.
_WORDS = {
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


class _NoiseField(LabelField):
    name, owns = "noise", ("noise", "sigma")
    called = {"en": "noise", "fr": "bruit", "zh": "噪声"}
    labels = NOISE_LEVELS
    words = {"en": labels, "fr": ("faible", "moyen", "élevé"), "zh": ("低", "中等", "高")}
    stated = r"noise level is (low|medium|high)\b"

    def sentence_labels(self, sentences: Mapping[str, str]) -> tuple[str, ...]:
        text = _NO_NOISE.sub(lambda m: " low".ljust(len(m[0])), sentences["noise"])
        text = _NOT_SO.sub(lambda m: " " * len(m[0]), text)
        head = re.split(r"[,;.]| with | and the ", text, maxsplit=1)[0]
        found = found_words(_WORDS, head) or found_words(_WORDS, text)
        return in_order([label for _, _, label in found])

    def columns(self, annotation: Described) -> dict[str, Cell]:
        noise = annotation.noise or Noise()
        return {"noise": noise.level, "sigma": noise.sigma}

    def prose(self, annotation: Described, words: Language) -> str | None:
        noise = annotation.noise
        if noise is None or noise.level is None:
            return None
        level, (with_sigma, plain) = self.word(noise.level, words), _SAID[words.code]
        if noise.sigma is None:
            return plain.format(level=level)
        share = words.number(100 * noise.sigma, ".3g") + words.percent
        return with_sigma.format(level=level, sigma=share)


NOISE = _NoiseField()
