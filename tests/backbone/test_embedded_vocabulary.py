"""The vocabulary of new bases against Qwen2.5's own tokenizer, and growing an old base into it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import unicodedata
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from loracast.backbone import (
    VOCABULARY_DIR,
    Backbone,
    build_embedded,
    embedded_config,
    load_backbone,
    symbol_ids,
)
from loracast.backbone._probe import probe_tokenizer
from loracast.codec import make_codec
from loracast.errors import ModelError
from loracast.pretraining import grow_embedded
from tests.annotation.vocabulary_texts import vocabulary_texts

CHECKOUT = Path(__file__).resolve().parents[2]
TOKENIZER = Tokenizer.from_file(str(VOCABULARY_DIR / "tokenizer.json"))
SIZE = TOKENIZER.get_vocab_size()
OPTIONS = {"mao": {"global_scale": 2.0}}
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

# Written by Qwen2.5-0.5B-Instruct's own tokenizer (tokenizers 0.22).
GOLDEN = {
    '{"trend":"increasing","max":["end",0.930]}': (
        '{" t rend ":" incre asing "," max ":[" end ", 0 . 9 3 0 ]}'
    ),
    "Describe the time series in JSON: trend, noise.\nSeries: [02, 99]\nJSON: ": (
        "Describe Ġthe Ġtime Ġseries Ġin ĠJSON : Ġtrend , Ġnoise .Ċ Series : Ġ[ 0 2 , Ġ 9 9 ]Ċ "
        "JSON : Ġ"
    ),
    "<|im_start|>user\nThe seasonality's period<|im_end|>\n": (
        "<|im_start|> user Ċ The Ġseason ality 's Ġperiod <|im_end|> Ċ"
    ),
    "-1.23,?;012 34": "- 1 . 2 3 , ? ; 0 1 2 Ġ 3 4",
}
# sha256 over lines: the token strings by id; then the token strings of each committed text.
GOLDEN_TOKENS = "e0a66e0330ca42e49593edf4c835e8acdfb3457854a7a43a7c23c857ce9bb127"
GOLDEN_TEXTS = "b4db77761ad8068c9e73988a2dbf212cdf4b40cc3e1a0061c4a2416a35196d24"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_vocabulary", CHECKOUT / "scripts/make-vocabulary.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def committed_texts() -> list[str]:
    spec = json.loads((VOCABULARY_DIR / "texts.json").read_text(encoding="utf-8"))
    return list(load_script().all_texts(spec))


def sha(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def tokens_by_id() -> list[str]:
    return [str(TOKENIZER.id_to_token(i)) for i in range(SIZE)]


@pytest.fixture(scope="module")
def qwen(shared_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(shared_dir / "qwen2.5-0.5b-instruct")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("base")
    build_embedded(folder, embedded_config(64, 1, 64), seed=0)
    return load_backbone(str(folder))


def test_ids_are_dense_bytes_first_and_special_tokens_last() -> None:
    tokens = tokens_by_id()
    assert len(set(tokens)) == SIZE == embedded_config()["vocab_size"]
    assert SIZE % 64 == 0
    assert 1200 <= SIZE <= 2000
    assert set(tokens[:256]) == set(ByteLevel.alphabet())
    assert tokens[-3:] == SPECIALS
    assert embedded_config()["eos_token_id"] == SIZE - 3


def test_every_merge_stands_on_tokens_that_are_there() -> None:
    model = json.loads((VOCABULARY_DIR / "tokenizer.json").read_text())["model"]
    have = set(ByteLevel.alphabet())
    for left, right in model["merges"]:
        assert {left, right} <= have
        have.add(left + right)
    assert have == set(model["vocab"])


def test_tokens_and_the_tokens_of_the_texts_are_the_golden_ones() -> None:
    assert sha(tokens_by_id()) == GOLDEN_TOKENS
    assert sha([" ".join(TOKENIZER.encode(t).tokens) for t in committed_texts()]) == GOLDEN_TEXTS


@pytest.mark.parametrize("text", GOLDEN)
def test_prompts_and_answers_come_out_as_from_qwen(text: str) -> None:
    assert TOKENIZER.encode(text).tokens == GOLDEN[text].split(" ")


def test_goldens_are_qwens(qwen: Any) -> None:
    def cut(text: str) -> str:
        return " ".join(qwen.convert_ids_to_tokens(qwen.encode(text)))

    assert {text: cut(text) for text in GOLDEN} == GOLDEN
    assert sha([cut(text) for text in committed_texts()]) == GOLDEN_TEXTS


def test_tokens_are_qwens_in_the_order_of_its_ids(qwen: Any) -> None:
    ids = qwen.convert_tokens_to_ids(tokens_by_id())
    assert None not in ids
    assert ids == sorted(ids)


def test_the_script_writes_the_committed_files(shared_dir: Path, tmp_path: Path) -> None:
    script = load_script()
    qwen_folder = str(shared_dir / "qwen2.5-0.5b-instruct")
    assert script.main([qwen_folder, "--out", str(tmp_path)]) == 0
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (VOCABULARY_DIR / name).read_bytes()


def test_the_script_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_script().main([str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "merges.txt" in capsys.readouterr().err


def test_annotation_texts_cost_as_few_tokens_as_from_qwen(qwen: Any) -> None:
    """Their wording may move on after a base was trained; the vocabulary then cannot."""
    texts = [t for t in vocabulary_texts() if t.isascii() and "La tendance" not in t]
    ours = sum(len(TOKENIZER.encode(t).tokens) for t in texts)
    assert ours <= 1.02 * sum(len(qwen.encode(t)) for t in texts)


def test_published_annotation_examples_come_out_as_from_qwen(qwen: Any, shared_dir: Path) -> None:
    lines = (shared_dir / "data/dlaa_annotations_dev.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        for text in (row["input"], row["output"]):
            found = TOKENIZER.encode(text).tokens
            assert found == qwen.convert_ids_to_tokens(qwen.encode(text)), row["index"]


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    # NFC is Qwen's normaliser, too; a special token may be spelt out in the text.
    ids = TOKENIZER.encode(text).ids
    decoded = TOKENIZER.decode(ids, skip_special_tokens=False)
    assert decoded == unicodedata.normalize("NFC", text)


def test_a_digit_is_always_a_token_of_its_own() -> None:
    symbols = [*'0123456789.,;:+-?[](){}/% \n"', "e", "E", "a"]
    for pair in product(symbols, repeat=2):
        for token in TOKENIZER.encode("".join(pair)).tokens:
            assert len(token) == 1 or not any(c.isdigit() for c in token), pair


def test_a_base_built_so_loads_and_saves_the_same_tokenizer(base: Backbone, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    base.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "<|im_start|>user\nDescribe 1.23, 漢字 é ￼ end<|im_end|>"
    expected = TOKENIZER.encode(text).ids
    assert base.tokenizer.encode(text) == again.encode(text) == expected
    assert base.tokenizer.decode(expected) == text
    assert base.tokenizer.eos_token_id == SIZE - 3
    assert base.bos_full_id is None
    assert len(base.tokenizer) == base.architecture.vocab == SIZE


@pytest.mark.parametrize("name", ["compact", "mao", "fung", "miller", "annotation", "llmtime"])
def test_codecs_find_their_symbols_and_a_pruned_base_predicts_the_same(
    base: Backbone, name: str
) -> None:
    codec = make_codec(name, **OPTIONS.get(name, {}))
    assert probe_tokenizer(base.tokenizer).splits_digits
    ids = symbol_ids(base.tokenizer, codec.alphabet)
    assert tuple(base.tokenizer.convert_ids_to_tokens(list(ids))) == tuple(
        "Ġ" if symbol == " " else symbol for symbol in codec.alphabet
    )
    pruned = load_backbone(base.name)
    pruned.prune(ids)
    values = np.random.default_rng(0).uniform(1, 5, (6, 1))
    symbols = codec.encode(values, codec.fit(values))
    full = np.asarray(ids)[symbols]
    with torch.no_grad():
        expected = base.model(torch.tensor(full)[None]).logits[..., list(pruned.vocabulary.kept)]
        found = pruned.model(torch.tensor(pruned.vocabulary.to_model(full))[None]).logits
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["compact", "mao", "fung", "miller", "annotation"])
def test_codec_texts_come_out_as_from_qwen(qwen: Any, name: str) -> None:
    codec = make_codec(name, **OPTIONS.get(name, {}))
    values = np.random.default_rng(0).uniform(1, 5, (30, 1 if name == "annotation" else 2))
    text = codec.text(codec.encode(values, codec.fit(values)))
    expected = qwen.convert_ids_to_tokens(qwen.encode(text))
    assert TOKENIZER.encode(text).tokens == expected


# An old base in small: bytes and the end of a text, in another order than the new one's.


def write_old_base(folder: Path, drop: str = "") -> Path:
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    symbols = [s for s in sorted(ByteLevel.alphabet(), reverse=True) if s != drop]
    tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(SPECIALS[0], special=True)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIALS[0], pad_token=SPECIALS[0]
    ).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        end = len(symbols)
        ids = {"eos_token_id": end, "pad_token_id": end, "bos_token_id": end}
        config = {**embedded_config(64, 2, 96), **ids, "vocab_size": end + 1}
        Qwen2ForCausalLM(Qwen2Config(**config)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Backbone, Backbone]:
    folder = tmp_path_factory.mktemp("grown")
    write_old_base(folder / "old")
    grow_embedded(folder / "old", folder / "new", embedded_config(64, 2, 96), seed=1)
    return load_backbone(str(folder / "old")), load_backbone(str(folder / "new"))


def test_a_grown_base_predicts_old_tokens_as_before(grown: tuple[Backbone, Backbone]) -> None:
    old, new = grown
    text = "01,23;? Describe the é漢\n".encode()
    symbol = dict(zip(range(256), bytes_to_symbols(), strict=True))
    strings = [symbol[b] for b in text] + [SPECIALS[0]]
    every = sorted(old.tokenizer.get_vocab())
    logits = []
    for base in (old, new):
        vocabulary = base.tokenizer.get_vocab()
        with torch.no_grad():
            out = base.model(torch.tensor([[vocabulary[s] for s in strings]])).logits
        logits.append(out[..., [vocabulary[s] for s in every]])
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-6)
    assert len(every) == 257


def bytes_to_symbols() -> list[str]:
    """The symbol of each byte, by the rule in GPT-2's paper: printable ones as they are."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def test_a_new_token_starts_at_the_mean_of_its_bytes(grown: tuple[Backbone, Backbone]) -> None:
    old, new = grown
    rows_old = old.model.get_input_embeddings().weight.detach()
    rows_new = new.model.get_input_embeddings().weight.detach()
    ids_old = old.tokenizer.get_vocab()
    table = bytes_to_symbols()
    distances = []
    for token in ("Ġtrend", '":"', "<|im_start|>", "Ïĥ"):
        content = (
            token.encode() if token in SPECIALS else bytes(table.index(symbol) for symbol in token)
        )
        mean = sum(rows_old[ids_old[table[b]]] for b in content) / len(content)
        row = rows_new[new.tokenizer.convert_tokens_to_ids(token)]
        distances.append((row - mean).std().item())
    assert distances == pytest.approx([1e-3] * 4, rel=0.5)  # 64 draws of noise each
    assert new.model.lm_head.weight is new.model.get_input_embeddings().weight
    assert new.tokenizer.get_vocab() == TOKENIZER.get_vocab()


def test_the_seed_decides_the_noise(tmp_path: Path) -> None:
    old = write_old_base(tmp_path / "old")
    hashes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        grow_embedded(old, tmp_path / name, embedded_config(64, 2, 96), seed=seed)
        hashes.append(load_backbone(str(tmp_path / name)).base_sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_cannot_grow_is_said_in_one_line(tmp_path: Path) -> None:
    old = write_old_base(tmp_path / "old")
    config = embedded_config(64, 2, 96)
    with pytest.raises(ModelError, match="num_hidden_layers 2 against 3"):
        grow_embedded(old, tmp_path / "new", embedded_config(64, 3, 96), seed=0)
    with pytest.raises(ModelError, match="vocab_size 300"):
        grow_embedded(old, tmp_path / "new", {**config, "vocab_size": 300}, seed=0)
    with pytest.raises(ModelError, match="as old and as new folder"):
        grow_embedded(old, old, config, seed=0)
    lacking = write_old_base(tmp_path / "lacking", drop="Ġ")
    with pytest.raises(ModelError, match="lacks 1 of the 256 bytes"):
        grow_embedded(lacking, tmp_path / "new", config, seed=0)
    assert not (tmp_path / "new").exists()
