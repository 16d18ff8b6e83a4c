"""What nodes say of themselves: two raylets on this machine, which share its clock and its disk."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from hpo.cli import app
from hpo.errors import StorageError
from hpo.execution.cluster import connect, disconnect
from hpo.execution.nodes import ask_nodes, check_reach
from hpo.folders.doctor import node_problems
from hpo.versions import versions


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster of two nodes."""
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture
def joined(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_ADDRESS", address)
    connect()
    yield
    disconnect()


def elsewhere(folder: Path) -> str:
    """A folder by a path that means it in this process alone, as on a disk that no other node has."""
    return f"/proc/self/fd/{os.open(folder, os.O_RDONLY)}"


@pytest.mark.usefixtures("joined")
def test_every_node_answers(tmp_path: Path) -> None:
    nodes = ask_nodes([str(tmp_path)])

    assert sorted(node.num_cpus for node in nodes) == [1, 2]
    for node in nodes:
        assert node.silent is None
        assert node.versions == versions()
        assert abs(node.ahead_s) <= node.uncertain_s + 0.01  # they share a clock
        assert node.unreached == {}
    assert node_problems(nodes) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("joined")
def test_a_folder_that_other_nodes_do_not_have_is_refused(tmp_path: Path) -> None:
    check_reach(str(tmp_path))

    folder = elsewhere(tmp_path)
    told = f"storage.checkpoints: every node of the cluster must reach {folder}, for trials go on wherever there is "
    with pytest.raises(StorageError, match=rf"{told}room, but [\d.]+ cannot.*is not there .*Name a store, as s3://"):
        check_reach(folder)


@pytest.mark.usefixtures("joined")
def test_a_folder_that_cannot_be_written_to_is_out_of_reach(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")

    for node in ask_nodes([str(file)]):
        assert "here, " in node.unreached[str(file)]


def test_the_doctor_shows_the_nodes_of_the_cluster(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.chdir(tmp_path)

    told, shown = (CliRunner().invoke(app, ["doctor", *more], catch_exceptions=False) for more in (["--json"], []))

    found = json.loads(told.output)
    assert (told.exit_code, found["node_problems"]) == (0, [])
    assert sorted(node["num_cpus"] for node in found["nodes"]) == [1, 2]
    assert "within reach" in shown.output
    assert "Nothing is wrong." in shown.output
