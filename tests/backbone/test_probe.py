"""A tokenizer that merges digits must be found out before a number is trusted to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from loracast.backbone import build_embedded, embedded_config, symbol_ids
from loracast.backbone._probe import probe_tokenizer
from loracast.errors import ModelError


def _merging_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["0123 012 0123 9876 98 987 50 33"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def byte_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("base")
    build_embedded(folder, embedded_config(64, 1, 64), seed=0)
    return AutoTokenizer.from_pretrained(folder)


def test_merged_digits_are_reported_and_refused_with_a_remedy() -> None:
    tokenizer = _merging_tokenizer()
    probe = probe_tokenizer(tokenizer)
    assert not probe.splits_digits
    assert any(len(m.strip()) > 1 for m in probe.merged)
    with pytest.raises(ModelError, match="llmtime"):
        symbol_ids(tokenizer, tuple("0123456789;"))
    assert len(symbol_ids(tokenizer, tuple("0123456789,"), adjacent_digits=False)) == 11


def test_the_embedded_tokenizer_splits_digits_and_encodes_any_text(byte_tokenizer: Any) -> None:
    assert probe_tokenizer(byte_tokenizer).splits_digits
    ids = symbol_ids(byte_tokenizer, tuple("0123456789,.;-? "))
    assert len(set(ids)) == 16
    text = 'héllo 周期 {"a": 1}\n'
    assert byte_tokenizer.decode(byte_tokenizer.encode(text, add_special_tokens=False)) == text


def test_qwen_ids_are_the_published_ones(shared_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared_dir / "qwen2.5-0.5b-instruct")
    assert symbol_ids(tokenizer, tuple("0123456789,.;")) == (*range(15, 25), 11, 13, 26)
