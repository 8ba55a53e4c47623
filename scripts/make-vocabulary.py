#!/usr/bin/env python3
"""Cut the vocabulary of the embedded base out of Qwen2.5's: a subset of its token strings.

    scripts/make-vocabulary.py QWEN_FOLDER [--out FOLDER] [--texts FILE]

Reads merges.txt and vocab.json of Qwen2.5 and the committed texts; writes tokenizer.json and
tokenizer_config.json. Kept are the 256 bytes, every merge that Qwen's own merge order applies
to one of the texts, further merges from the top of its list until the size is a multiple of 64,
and three special tokens. Why the texts then come out token for token the same: at each step BPE
(Sennrich, Haddow, Birch 2016) applies the merge of lowest rank among those that fit; that merge
was kept, and a subset offers no lower one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

HOME = Path(__file__).resolve().parent.parent / "src/loracast/backbone/vocabulary"
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # in the order of Qwen's ids
MULTIPLE = 64  # rows of the embedding; a shape that matrix units like
# Of Qwen2.5's tokenizer.json.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

Pair = tuple[str, str]


def read_merges(folder: Path) -> list[Pair]:
    """Qwen's merges, the first to apply first."""
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return [(left, right) for left, right in pairs]


def all_texts(spec: dict[str, list[str]]) -> Iterator[str]:
    """Words inside a sentence, labels at the head of a text or JSON string too, texts as is."""
    for label in spec["labels"]:
        yield from (f" {label}", label)
    for word in spec["words"]:
        yield f" {word}"
        if word[0].isupper():  # opens a sentence, so a text as well
            yield word
    yield from spec["texts"]


def pieces(texts: Iterable[str]) -> list[str]:
    """What the merges work on: the distinct pre-tokens, in byte symbols, sorted."""
    normalizer = normalizers.NFC()
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found: set[str] = set()
    for text in texts:
        for special in SPECIALS:
            text = text.replace(special, "\0")
        for part in text.split("\0"):
            plain = normalizer.normalize_str(part)
            found.update(piece for piece, _ in split.pre_tokenize_str(plain))
    return sorted(found)


def applied(piece: str, rank: dict[Pair, int]) -> Iterator[Pair]:
    """The merges that BPE makes on one pre-token."""
    parts = list(piece)
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: rank.get(pair, len(rank)))
        if best not in rank:
            return
        yield best
        at = pairs.index(best)
        parts[at : at + 2] = ["".join(best)]


def choose(merges: list[Pair], texts: Iterable[str]) -> list[Pair]:
    """The merges to keep, in Qwen's order."""
    rank = {pair: i for i, pair in enumerate(merges)}
    keep = {pair for piece in pieces(texts) for pair in applied(piece, rank)}
    have = set(pre_tokenizers.ByteLevel.alphabet()) | {"".join(pair) for pair in keep}
    room = -(len(have) + len(SPECIALS)) % MULTIPLE
    for pair in merges:
        if room == 0:
            break
        word = "".join(pair)
        letters = word.removeprefix("Ġ")
        plain = letters.isascii() and letters.isalpha()
        if plain and word not in have and have.issuperset(pair):
            keep.add(pair)
            have.add(word)
            room -= 1
    return sorted(keep, key=rank.__getitem__)


def tokenizer_files(merges: list[Pair], order: dict[str, int]) -> tuple[object, object]:
    """tokenizer.json and tokenizer_config.json; ids are dense, in the order of Qwen's."""
    tokens = {*pre_tokenizers.ByteLevel.alphabet(), *("".join(pair) for pair in merges)}
    vocab = {token: i for i, token in enumerate(sorted(tokens, key=order.__getitem__))}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": len(vocab) + i, "content": token, **flags, "special": True}
            for i, token in enumerate(SPECIALS)
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": PATTERN},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {**byte_level, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }
    config = {
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": SPECIALS[0],
        "extra_special_tokens": list(SPECIALS[1:]),
        "model_max_length": 4096,
        "pad_token": SPECIALS[0],
        "padding_side": "left",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    return tokenizer, config


def main(arguments: list[str] | None = None) -> int:
    """Write the two files and say how many tokens they hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("qwen", type=Path, help="folder with merges.txt and vocab.json")
    parser.add_argument("--out", type=Path, default=HOME)
    parser.add_argument("--texts", type=Path, default=HOME / "texts.json")
    given = parser.parse_args(arguments)
    try:
        all_merges = read_merges(given.qwen)
        order = json.loads((given.qwen / "vocab.json").read_text(encoding="utf-8"))
        spec = json.loads(given.texts.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot read the tokenizer or the texts: {error}\n")
        return 2
    merges = choose(all_merges, all_texts(spec))
    given.out.mkdir(parents=True, exist_ok=True)
    names = ("tokenizer.json", "tokenizer_config.json")
    for name, content in zip(names, tokenizer_files(merges, order), strict=True):
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (given.out / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{256 + len(merges) + len(SPECIALS)} tokens, {len(merges)} merges\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
