"""What is found before a sweep is sent."""

import sys
from pathlib import Path

import pytest

from hpo.errors import ClusterError
from hpo.submission import check_order, values_of

SWEEP = """
name: small
data: {kind: digits}
model: {kind: mlp, hidden: [8]}
epochs: 2
metric: {name: val_accuracy, goal: maximize}
space: SPACE
tracking: {uri: 'postgresql://me:${NOT_SET_HERE}@db/mlflow'}
storage: {study: 'postgresql://me:${NOT_SET_HERE}@db/hpo', checkpoints: 's3://sweeps'}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a sweep below and its space beside that."""
    (tmp_path / "space.yaml").write_text("optimizer.lr: loguniform(1e-3, 1)\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/small.yaml").write_text(SWEEP.replace("SPACE", "../space.yaml"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_passwords_that_only_the_cluster_has_are_not_missed_here(folder: Path) -> None:
    order = check_order(Path("conf/small.yaml"))

    assert (order.folder, order.files) == (folder, [Path("conf/small.yaml"), Path("space.yaml")])
    assert order.unchecked is None


def test_of_a_sweep_file_elsewhere_its_own_folder_is_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "conf/small.yaml").write_text(SWEEP.replace("SPACE", "{optimizer.lr: 'loguniform(1e-3, 1)'}"))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")

    order = check_order(folder / "conf/small.yaml")

    assert (order.folder, order.files) == (folder / "conf", [Path("small.yaml")])


def test_a_space_file_that_would_not_be_sent_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")

    with pytest.raises(ClusterError) as refused:
        check_order(folder / "conf/small.yaml")

    assert f"but {folder / 'space.yaml'} lies outside of {folder / 'conf'}, which is sent" in str(refused.value)
    assert str(refused.value).endswith("Submit from a folder that holds both.")


def test_every_variable_that_the_sweep_takes_along_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")

    assert values_of(["MY_KEY"]) == {"MY_KEY": "s3cret"}
    with pytest.raises(ClusterError, match="every variable must be set here, but NOT_SET_HERE is not"):
        values_of(["MY_KEY", "NOT_SET_HERE"])
