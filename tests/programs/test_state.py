import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.errors import HpoError
from hpo.programs.state import State, read_state, write_state


def again(state: State, folder: Path) -> State:
    write_state(folder / "state.tar", state)
    return read_state(folder / "state.tar", folder / "read")


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree: dict[Any, object] = {
        "numbers": [1, -2.5, True, None, 2**100],
        0: {"betas": (0.9, 0.999), "name": "adam"},
        "words": np.array(["a", "bc"]),
        "scalar": np.float32(0.1),
        "raw": b"\x00\xff",
        "empty": {},
    }

    found = again(tree, tmp_path)

    assert isinstance(found, dict)
    words, expected = found.pop("words"), tree.pop("words")
    np.testing.assert_array_equal(words, expected)
    assert type(found["scalar"]) is np.float32
    assert found == tree


def test_the_state_of_an_optimizer_of_torch_goes_back_into_it(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2, dtype=torch.bfloat16)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.3)
    layer(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    tied = OrderedDict(a=layer.weight, b=layer.weight)

    found = again({"optimizer": optimizer.state_dict(), "tied": tied}, tmp_path)

    assert isinstance(found, dict)
    other = torch.optim.Adam(layer.parameters())
    other.load_state_dict(found["optimizer"])
    assert other.param_groups[0]["lr"] == 0.3
    assert torch.equal(other.state[layer.weight]["exp_avg"], optimizer.state[layer.weight]["exp_avg"])
    assert torch.equal(found["tied"]["b"], layer.weight)


def test_bytes_and_folders_come_back(tmp_path: Path) -> None:
    (tmp_path / "model/deep").mkdir(parents=True)
    (tmp_path / "model/deep/weights").write_text("1 2 3")

    folder = again(tmp_path / "model", tmp_path)

    assert isinstance(folder, Path)
    assert (folder / "deep/weights").read_text() == "1 2 3"
    assert again(b"abc", tmp_path) == b"abc"


@pytest.mark.parametrize("state", [{"a": object()}, {"a": np.array([object()])}, {"a": {1, 2}}])
def test_what_only_a_pickle_could_hold_is_refused_and_nothing_is_left(state: State, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"state\['a'\]: a state must hold tensors, arrays, numbers, texts"):
        write_state(tmp_path / "state.tar", state)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.tar").write_bytes(b"no tar")

    with pytest.raises(HpoError, match="must be a state that a trial handed over, but"):
        read_state(tmp_path / "state.tar", tmp_path)


def test_a_folder_comes_back_with_what_its_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "given" / "inside").mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("all")
    (tmp_path / "given" / "inside" / "link").symlink_to(tmp_path / "elsewhere")
    write_state(tmp_path / "state.tar", tmp_path / "given")

    found = read_state(tmp_path / "state.tar", tmp_path / "found")

    assert isinstance(found, Path)
    assert not (found / "inside" / "link").is_symlink()
    assert (found / "inside" / "link").read_text() == "all"


@pytest.mark.parametrize("name", ["folder/../../out", "/out"])
def test_a_state_that_would_lie_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "state.tar", "w") as tar:
        for each in ("folder", name):
            member = tarfile.TarInfo(each)
            tar.addfile(member)

    with pytest.raises(HpoError, match="must be a state that a trial handed over"):
        read_state(tmp_path / "state.tar", tmp_path / "found")

    assert not (tmp_path / "out").exists()
