"""Give an older base of this package the present vocabulary, and keep what it has learned.

The body is copied. A token string that the old base has keeps its row; another one starts as the
mean of the rows of its bytes, the tokens it replaces, plus a little noise so that no two are equal.
Knows rows and token strings only, not what was trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from loracast.errors import ModelError

__all__ = ["grow_embedded"]

_NOISE = 1e-3  # assumption: about a twentieth of the initial rows' standard deviation, 0.02
# Where two configurations may differ and still compute the same from the same rows.
_FREE = {
    "_name_or_path",
    "architectures",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "initializer_range",
    "max_position_embeddings",
    "pad_token_id",
    "transformers_version",
    "use_cache",
    "vocab_size",
}


def grow_embedded(old_folder: Path, new_folder: Path, config: dict[str, Any], seed: int) -> None:
    """Write the base in `old_folder` with the vocabulary of new bases to `new_folder`.

    Logits of the old tokens, at inputs written in old tokens, are those of the old base.

    Args:
        old_folder: a base with a byte-level tokenizer that has all 256 bytes.
        new_folder: gets configuration, tokenizer and float32 weights.
        config: of the new base, see `embedded_config`; its body must be the old one's.
        seed: of the noise, standard deviation 1e-3, on rows of tokens the old base lacks.

    Raises:
        ModelError: the old base cannot be loaded, has another body or lacks a byte; `config` has
            not as many rows as the vocabulary has tokens; both folders are the same.
    """
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    from loracast.backbone import VOCABULARY_DIR, embedded_config, load_backbone, write_tokenizer

    if Path(old_folder).resolve() == Path(new_folder).resolve():
        raise ModelError(f"got {old_folder} as old and as new folder; give another new folder")
    old = load_backbone(str(old_folder))
    size = embedded_config()["vocab_size"]
    if config.get("vocab_size") != size:
        raise ModelError(
            f"got a configuration with vocab_size {config.get('vocab_size')}; the vocabulary has "
            f"{size} tokens: take the configuration from embedded_config()"
        )
    wanted = Qwen2Config(**config)
    _check_body(old.model.config.to_dict(), wanted.to_dict(), old_folder)
    new_vocabulary = AutoTokenizer.from_pretrained(VOCABULARY_DIR).get_vocab()
    old_vocabulary = old.tokenizer.get_vocab()
    special = set(old.tokenizer.all_special_tokens) | set(
        AutoTokenizer.from_pretrained(VOCABULARY_DIR).all_special_tokens
    )
    parts = _parts(new_vocabulary, old_vocabulary, special, old_folder)
    generator = torch.Generator().manual_seed(seed)

    def rows(weight: torch.Tensor) -> torch.Tensor:
        grown = torch.stack([weight[ids].mean(0) for ids in parts])
        noise = torch.randn(grown.shape, generator=generator) * _NOISE
        new = torch.tensor([[len(ids) > 1] for ids in parts])
        return torch.where(new, grown + noise, grown)

    state = dict(old.model.state_dict())
    names = ["model.embed_tokens.weight", "lm_head.weight"]
    grown = rows(state[names[0]])
    state[names[0]] = grown
    state[names[1]] = grown if wanted.tie_word_embeddings else rows(state[names[1]])
    with torch.random.fork_rng(devices=[]):
        model = Qwen2ForCausalLM(wanted)
    model.load_state_dict(state)
    write_tokenizer(new_folder)
    model.save_pretrained(new_folder)
    (new_folder / "generation_config.json").write_text(json.dumps({}) + "\n")


def _check_body(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    names = sorted((old.keys() | new.keys()) - _FREE)
    unlike = [n for n in names if old.get(n) != new.get(n)]
    if unlike:
        said = ", ".join(f"{n} {old.get(n)} against {new.get(n)}" for n in unlike[:4])
        raise ModelError(
            f"the base in {folder} has another body than the configuration: {said}; "
            "a base grows in its vocabulary only"
        )


def _parts(
    new: dict[str, int], old: dict[str, int], special: set[str], folder: Path
) -> list[list[int]]:
    """The old ids that each new id's row is the mean of, in the order of new ids."""
    from tokenizers.pre_tokenizers import ByteLevel

    missing = sorted(set(ByteLevel.alphabet()) - old.keys())
    if missing:
        raise ModelError(
            f"the tokenizer in {folder} lacks {len(missing)} of the 256 bytes; expected a "
            "byte-level one, such as the embedded base has"
        )
    split = ByteLevel(add_prefix_space=False, use_regex=False)
    parts = []
    for token in sorted(new, key=new.__getitem__):
        if token in old:
            parts.append([old[token]])
        else:
            symbols = split.pre_tokenize_str(token)[0][0] if token in special else token
            parts.append([old[symbol] for symbol in symbols])
    return parts
