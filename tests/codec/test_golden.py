"""The presets against examples of their sources; these numbers are not ours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from loracast.codec import Codec, make_codec

from .round_trip import round_trip_report

PREY = [0.9714744, 1.0787003, 1.260828, 1.5218158, 1.8605354]
PREDATOR = [1.0054137, 0.82180643, 0.6863802, 0.59312147, 0.53635156]
VALUES = np.stack([PREY, PREDATOR], axis=1)
PUBLISHED_SCALE = 10.0 / 7.9297

# Ids of Qwen2.5's tokenizer, as the study prints them for the five steps above.
MAO_IDS = (
    "16 13 17 18 11 16 13 17 22 26 16 13 18 21 11 16 13 15 19 26 16 13 20 24 11 15 13 23 22 26 "
    "16 13 24 17 11 15 13 22 20 26 17 13 18 20 11 15 13 21 23 26"
)
QWEN_IDS = {str(d): 15 + d for d in range(10)} | {",": 11, ".": 13, ";": 26}


def text_of(codec: Codec, values: np.ndarray) -> str:
    return codec.text(codec.encode(values, codec.fit(values)))


def test_mao_token_ids() -> None:
    codec = make_codec("mao", global_scale=PUBLISHED_SCALE)
    text = text_of(codec, VALUES)
    assert text == "1.23,1.27;1.36,1.04;1.59,0.87;1.92,0.75;2.35,0.68;"
    assert [QWEN_IDS[symbol] for symbol in text] == [int(i) for i in MAO_IDS.split()]


def test_mao_alphabet_is_thirteen_symbols() -> None:
    codec = make_codec("mao", global_scale=PUBLISHED_SCALE)
    assert set(codec.alphabet) == set("0123456789,.;")
    assert len(codec.alphabet) == 13
    assert set(make_codec("mao", signed=True, missing=True).alphabet) == set("0123456789,.;-?")


# The first ten steps of system 0, as the study's table prints them beside their codes.
TABLE_PREY = "0.94991744 0.74055135 0.6822457 0.7166742 0.82451135 1.0045652 1.2629277 1.6055092 2.0311053 2.5228817"  # noqa: E501
TABLE_PREDATOR = "1.040624 0.7795419 0.56439036 0.40764433 0.30028325 0.22983165 0.18616238 0.16223547 0.15436463 0.16188619"  # noqa: E501
TABLE = "1.20,1.31;0.93,0.98;0.86,0.71;0.90,0.51;1.04,0.38;1.27,0.29;1.59,0.23;2.02,0.20;2.56,0.19;3.18,0.20;"  # noqa: E501


def test_the_published_round_trip_error_is_that_of_its_table() -> None:
    """0.002167 is the mean of the 20 differences of one series, not of the data set."""
    columns = [[float(v) for v in text.split()] for text in (TABLE_PREY, TABLE_PREDATOR)]
    values = np.array(columns).T
    codec = make_codec("mao", global_scale=PUBLISHED_SCALE)
    assert text_of(codec, values) == TABLE
    back = codec.decode(codec.symbols(TABLE), codec.fit(values))
    differences = np.abs(back - values)
    assert differences.size == 20
    assert round(float(differences.mean()), 6) == 0.002167
    # By hand from the printed digits: the sum of |code x 0.79297 - value| is 0.04333122.
    assert differences.sum() == pytest.approx(0.04333122, abs=1e-9)


@pytest.mark.parametrize(
    ("trailing_zeros", "text"),
    [
        (True, "2.267,2.206;1.111,2.516;2.510,2.000;0.100,0.000;"),
        # What Python prints of a float rounded to three decimals, as the study's listing has it.
        (False, "2.267,2.206;1.111,2.516;2.51,2.0;0.1,0.0;"),
    ],
)
def test_fung_in_both_forms(trailing_zeros: bool, text: str) -> None:
    values = np.array([[1.1335121, 1.1031258], [0.55542254, 1.2579137], [1.255, 1.0], [0.05, 0.0]])
    codec = make_codec("fung", trailing_zeros=trailing_zeros)
    assert text_of(codec, values) == text
    back = codec.decode(codec.symbols(text), codec.fit(values))
    np.testing.assert_allclose(back, values, atol=0.5e-3 / 2 + 1e-12)  # half a step of 0.001 / 2
    assert make_codec("fung").config()["trailing_zeros"] is True


def test_fung_without_trailing_zeros_is_what_python_prints() -> None:
    shown = np.random.default_rng(0).uniform(0, 30, 500).round(3)
    codec = make_codec("fung", trailing_zeros=False)
    text = text_of(codec, shown[:, None] / 2)
    assert text == "".join(f"{float(x)};" for x in shown)


def test_miller_percentile_and_dropped_point() -> None:
    # 11 values 0, 1, ..., 10 in the first channel and the same in the second: the 90th percentile
    # of the 22 is 9 by linear interpolation (rank 0.9 * 21 = 18.9, between 9 and 9).
    values = np.repeat(np.arange(11.0)[:, None], 2, axis=1)
    text = text_of(make_codec("miller"), values)
    assert text.split(";")[:3] == ["000,000", "111,111", "222,222"]
    assert text.split(";")[9:11] == ["1000,1000", "1111,1111"]
    codec = make_codec("miller")
    state = codec.fit(values)
    assert codec.text(codec.encode(np.array([[1.107, 1.143]]), state)) == "123,127;"


def test_llmtime_scaling_and_text() -> None:
    # By hand: min 1, max 5, b = 1 - 0.3 * 4 = -0.2; x - b = 1.2, 2.2, 3.2, 4.2, 5.2 and their
    # 0.95 quantile is 4.2 + 0.8 * 1 = 5.0; x' = 0.24, 0.44, 0.64, 0.84, 1.04, exact to 1e-16, so
    # the middle of a digit is used where truncation would depend on the last bit.
    codec = make_codec("llmtime")
    state = codec.fit(np.arange(1.0, 6.0)[:, None])
    assert state.offset == pytest.approx((-0.2,))
    assert state.scale == pytest.approx((5.0,))
    shown = np.array([0.1237, 1.5009, -0.0456, 0.0003, 12.3456])[:, None]
    encoded = codec.encode(shown * 5.0 - 0.2, state)
    assert codec.text(encoded) == " 1 2 3 , 1 5 0 0 , - 4 5 , 0 , 1 2 3 4 5 ,"
    back = (codec.decode(encoded, state) + 0.2) / 5.0
    assert back[:, 0] == pytest.approx([0.1235, 1.5005, -0.0455, 0.0005, 12.3455], abs=1e-9)


def test_annotation() -> None:
    codec = make_codec("annotation")
    values = np.array([0.1, 0.05, 0.0, 4.0, 2.0])[:, None]
    assert text_of(codec, values) == "[02, 01, 00, 99, 49]"


def test_annotation_reproduces_the_published_prompts(shared_dir: Path) -> None:
    codec = make_codec("annotation")
    lines = (shared_dir / "data" / "dlaa_annotations_dev.jsonl").read_text().splitlines()
    for line in lines:
        text = re.search(r"\[[\d, ]+\]", json.loads(line)["input"])
        assert text is not None
        values = np.array(json.loads(re.sub(r"\b0(\d)", r"\1", text[0])), dtype=float)[:, None]
        assert text_of(codec, values) == text[0]


def test_compact_by_hand() -> None:
    # Codes 200..800 for the seen range [0, 6]: one code is 0.01, the middle 3 is 500.
    codec = make_codec("compact", digits=3, headroom=0.2)
    context = np.array([[0.0], [6.0]])
    state = codec.fit(context)
    text = codec.text(codec.encode(np.array([[0.0], [3.0], [6.0], [4.23]]), state))
    assert text == "200;500;800;623;"


def test_qwen_tokenizer_splits_the_text_into_these_symbols(shared_dir: Path) -> None:
    folder = shared_dir / "qwen2.5-0.5b-instruct"
    if not folder.is_dir():
        pytest.skip("tokenizer files not beside the checkout")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    mao = make_codec("mao", global_scale=PUBLISHED_SCALE)
    assert tokenizer(text_of(mao, VALUES))["input_ids"] == [int(i) for i in MAO_IDS.split()]
    for codec in (
        make_codec("compact", digits=3, headroom=0.2),
        make_codec("miller"),
        make_codec("fung"),
    ):
        text = text_of(codec, VALUES)
        assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == list(text)
    assert tokenizer("?")["input_ids"] == [30]


def test_mao_round_trip_on_the_data(shared_dir: Path) -> None:
    with h5py.File(shared_dir / "data" / "lotka_volterra_dev.h5") as file:
        series = list(file["trajectories"][:].astype(float))
    report = round_trip_report(make_codec("mao", global_scale=PUBLISHED_SCALE), series)
    # Rounding to 0.01 * 0.79297 costs a quarter of that step on average: 0.001982.
    assert report.mae == pytest.approx(0.0025 / PUBLISHED_SCALE, rel=0.01)
    assert report.share_clipped == 0.0
