"""A folder that is not what was written is refused in one line, whatever was done to it.

Each damage is done twice: to a folder with digests, which catch everything, and to one of the
first format, which had none, where names, shapes, configurations and numbers must speak for
themselves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from loracast.adapters import (
    AdapterConfig,
    AdapterManifest,
    attach_lora,
    check_adapter,
    load_adapter,
    lora_parameters,
    merge_adapter,
    save_adapter,
)
from loracast.backbone import build_embedded, embedded_config, load_backbone, numeric_head_of
from loracast.errors import AdapterError

WEIGHTS, PEFT, OURS = "adapter_model.safetensors", "adapter_config.json", "loracast.json"
CONFIG = AdapterConfig(rank=2, alpha=8, targets=("q", "v"), head_bias=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "base"
    build_embedded(folder, embedded_config(64, 1, 96), seed=3)
    return folder


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(base, tmp_path_factory.mktemp("damage") / "whole", CONFIG)


@pytest.fixture(scope="module")
def whole_full(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "full"
    return _written(base, folder, AdapterConfig(method="full"))


def _written(base: Path, folder: Path, config: AdapterConfig) -> Path:
    backbone = load_backbone(str(base))
    backbone.use_numeric_head(True, seed=1)
    backbone.prune([5, 20, 21, 22])
    interface = numeric_head_of(backbone.model)
    assert interface is not None
    backbone.model = attach_lora(backbone.model, config, seed=1)
    with torch.no_grad():
        for name, weight in lora_parameters(backbone.model).items():
            if "lora_B" in name:
                weight.fill_(0.1)
    save_adapter(
        backbone.model,
        folder,
        AdapterManifest(
            model=backbone.name,
            base_sha256=backbone.base_sha256,
            kept_ids=backbone.vocabulary.kept,
            adapter=config,
            codec={"name": "continuous"},
            context_steps=70,
            n_channels=2,
            values=interface.shape,
            spread=(1.0, 1.5),
        ),
    )
    return folder


def _json(name: str, **update: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | update))

    return damage


def _text(name: str, before: str, after: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after))

    return damage


def _adapter_field(**update: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        adapter = json.loads((folder / OURS).read_text())["adapter"]
        _json(OURS, adapter=adapter | update)(folder)

    return damage


def _tensors(change: Callable[[dict[str, torch.Tensor]], object], name: str = WEIGHTS) -> Any:
    def damage(folder: Path) -> None:
        from safetensors import safe_open

        with safe_open(folder / name, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name, metadata=metadata)

    return damage


def _poison(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[0] = float("nan")


def _reshape(tensors: dict[str, torch.Tensor]) -> None:
    name = min(tensors)
    tensors[name] = tensors[name].T.contiguous()


def _add(tensors: dict[str, torch.Tensor]) -> None:
    name = min(n for n in tensors if "layers.0" in n)
    tensors[name.replace("layers.0", "layers.7")] = tensors[name].clone()


def _cut(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-40])


# Damage -> what the refusal must name where there are no digests.
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a tensor deleted": (_tensors(lambda t: t.pop(max(t))), "lacks the tensor"),
    "a tensor added": (_tensors(_add), r"layers\.7"),
    "a tensor reshaped": (_tensors(_reshape), "has the shape"),
    "a weight that is no number": (_tensors(_poison), "not finite"),
    "a file cut": (_cut, "could not be read"),
    "a file deleted": (lambda f: (f / WEIGHTS).unlink(), f"holds no {WEIGHTS}"),
    "no PEFT file": (lambda f: (f / PEFT).unlink(), f"holds no {PEFT}"),
    "PEFT: alpha": (_json(PEFT, lora_alpha=16), "lora_alpha=16"),
    "PEFT: rank": (_json(PEFT, r=4), "r=4"),
    "PEFT: targets": (_json(PEFT, target_modules=["q_proj"]), "target_modules"),
    "PEFT: kind": (_json(PEFT, peft_type="LOHA"), "peft_type='LOHA'"),
    "PEFT: scaling": (_json(PEFT, use_rslora=False), "use_rslora=False"),
    "PEFT: per layer": (_json(PEFT, rank_pattern={"q_proj": 1}), "rank_pattern"),
    "PEFT: layers": (_json(PEFT, layers_to_transform=[3]), "layers_to_transform"),
    "PEFT: dora": (_json(PEFT, use_dora=True), "use_dora=True"),
    "PEFT: no JSON": (lambda f: (f / PEFT).write_text("{"), f"{PEFT} is not readable"),
    "ours: alpha": (_adapter_field(alpha=16.0), "lora_alpha=8"),
    "ours: infinite alpha": (_text(OURS, '"alpha": 8.0', '"alpha": 1e999'), r"adapter\.alpha"),
    "ours: rank": (_adapter_field(rank=4), "r=2"),
    "ours: targets": (_adapter_field(targets=["q", "k"]), "target_modules"),
    "ours: unknown targets": (_adapter_field(targets=["nope"]), "linear layers"),
    "ours: scaling": (_adapter_field(rslora=False), "use_rslora=True"),
    "spread of NaN": (_json(OURS, spread=[float("nan")]), "NaN"),
    "spread of infinity": (_json(OURS, spread=[float("inf")]), "Infinity"),
    "spread of zero": (_json(OURS, spread=[1.0, 0.0]), r"spread\.1"),
    "spread beyond reason": (_json(OURS, spread=[1e9]), r"spread\.0"),
    "negative context": (_json(OURS, context_steps=-1), "context_steps"),
    "no channel": (_json(OURS, n_channels=0), "n_channels"),
    "foreign tokens": (_json(OURS, kept_ids=[5, 20, 21, 10**7]), "token ids"),
    "unsorted tokens": (_json(OURS, kept_ids=[20, 5, 21, 22]), "kept tokens"),
    "fewer tokens": (_json(OURS, kept_ids=[5, 20, 21]), "bias has the shape"),
    "another numeric head": (
        _json(OURS, values={"hidden": 64, "width": 8, "components": 3}),
        "values.safetensors",
    ),
    "values deleted": (lambda f: (f / "values.safetensors").unlink(), "holds no values"),
    "values poisoned": (_tensors(_poison, "values.safetensors"), "not finite"),
    "a tensor of values deleted": (
        _tensors(lambda t: t.pop("head_in.bias"), "values.safetensors"),
        "values.safetensors could not be read",
    ),
    "bias deleted": (lambda f: (f / "head_bias.safetensors").unlink(), "could not be read"),
    "bias poisoned": (_tensors(_poison, "head_bias.safetensors"), "not finite"),
}


def _as_first_format(folder: Path) -> None:
    """As folders were written before there were digests."""
    said = json.loads((folder / OURS).read_text())
    del said["files"], said["sha256"]
    (folder / OURS).write_text(json.dumps(said | {"format_version": 1}))


@pytest.mark.parametrize("made", ["whole", "whole_full"])
def test_undamaged_folders_of_both_formats_are_read(
    request: pytest.FixtureRequest, tmp_path: Path, made: str
) -> None:
    shutil.copytree(request.getfixturevalue(made), tmp_path / "a")
    load_adapter(tmp_path / "a")
    _as_first_format(tmp_path / "a")
    load_adapter(tmp_path / "a")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("digests", [True, False], ids=["digests", "first format"])
def test_damage_is_refused(whole: Path, tmp_path: Path, damage: str, digests: bool) -> None:
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    if not digests:
        _as_first_format(folder)
    change, names = DAMAGES[damage]
    change(folder)
    with pytest.raises(AdapterError, match=None if digests else names) as caught:
        load_adapter(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (_tensors(lambda t: t.pop("model.norm.weight")), "lacks the tensor model.norm.weight"),
        (_tensors(_add), r"layers\.7"),
        (_tensors(_poison), "not finite"),
    ],
    ids=["deleted", "added", "poisoned"],
)
def test_all_weights_are_held_to_the_same(
    whole_full: Path, tmp_path: Path, damage: Callable[[Path], None], names: str
) -> None:
    folder = tmp_path / "a"
    shutil.copytree(whole_full, folder)
    _as_first_format(folder)
    damage(folder)
    with pytest.raises(AdapterError, match=names):
        load_adapter(folder)


def test_every_bit_of_every_file_is_watched(whole: Path, tmp_path: Path) -> None:
    """One bit flipped in the middle of each file, and in a number of the manifest."""
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    check_adapter(folder)
    names = sorted(p.name for p in folder.iterdir())
    assert {WEIGHTS, PEFT, OURS, "values.safetensors", "head_bias.safetensors"} == set(names)
    for name in names:
        path = folder / name
        before = path.read_bytes()
        at = before.index(b"context_steps") + 17 if name == OURS else len(before) // 2
        path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        with pytest.raises(AdapterError, match=name):
            check_adapter(folder)
        path.write_bytes(before)
    check_adapter(folder)


def test_digests_cannot_be_left_out_of_the_new_format(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    said = json.loads((folder / OURS).read_text())
    del said["files"], said["sha256"]
    (folder / OURS).write_text(json.dumps(said))
    with pytest.raises(AdapterError, match="its own sha256 does not match"):
        load_adapter(folder)


def test_a_newer_format_says_so(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    _json(OURS, format_version=3)(folder)
    with pytest.raises(AdapterError, match="update loracast"):
        load_adapter(folder)


def test_layout_and_further_files_do_not_matter(whole: Path, tmp_path: Path) -> None:
    """An editor that indents JSON anew, and a note of one's own, are no damage."""
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    said = json.loads((folder / OURS).read_text())
    (folder / OURS).write_text(json.dumps(dict(reversed(said.items())), indent=7))
    (folder / "README.md").write_text("mine")
    load_adapter(folder)


def test_merging_refuses_too(base: Path, tmp_path: Path) -> None:
    folder = _written(base, tmp_path / "a", CONFIG.model_copy(update={"head_bias": False}))
    _tensors(lambda t: t.pop(max(t)))(folder)
    with pytest.raises(AdapterError, match="is not what was written"):
        merge_adapter(folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
