"""What the card of an exported model says of its data and of the bundles that its trial read."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from hpo.export import write_bundle
from hpo.harvest.harvest import Harvest
from hpo.run import run_sweep, start_local
from hpo.sweep import load_sweep
from hpo.training.data.normalization import Normalization
from hpo.training.models import Mlp

SWEEP = """
data: {kind: npz, path: arrays/rows.npz, test: 0, input_norm: minmax}
model: {kind: mlp, hidden: [8]}
epochs: 1
batch_size: 16
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: uniform(0.01, 0.02)
scheduler: {kind: none}
budget: {trials: 1}
tracking: none
"""
READS = """
loss: {kind: distillation, teacher: bundles/teacher}
initializer: {kind: pretrained, bundle: bundles/begun}
"""


def make_folder(folder: Path, text: str) -> Path:
    """The sweep file, with its data beside it."""
    (folder / "arrays").mkdir()
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez(folder / "arrays" / "rows.npz", x=rows, y=np.arange(60) % 3)
    (folder / "sweep.yaml").write_text(text)
    return folder / "sweep.yaml"


def write_bundles(folder: Path) -> str:
    """A teacher, and the same network with another card; the sha256 of its model."""
    write_bundle(
        folder / "teacher",
        module=Mlp(hidden=(8,)).build((4,), 3),
        normalization=Normalization(mean=np.zeros(4, np.float32), std=np.ones(4, np.float32)),
        input_shape=(4,),
        num_classes=3,
        card={"trial": 5, "sweep": "large-12ab"},
    )
    shutil.copytree(folder / "teacher", folder / "begun")
    card = json.loads((folder / "begun" / "card.json").read_text())
    (folder / "begun" / "card.json").write_text(json.dumps({name: card[name] for name in card if name != "sweep"}))
    return hashlib.sha256((folder / "teacher" / "model.pt2").read_bytes()).hexdigest()


def test_a_card_names_the_bundles_that_its_trial_read_though_they_are_gone_afterwards(tmp_path: Path) -> None:
    sha256 = write_bundles(tmp_path / "bundles")
    no_export = ("export.formats=[]", f"storage.checkpoints={tmp_path}")
    sweep = load_sweep(make_folder(tmp_path, SWEEP + READS), no_export)
    result = run_sweep(sweep, start_executor=start_local)
    assert result.best is not None
    shutil.rmtree(tmp_path / "bundles")

    harvest = Harvest(sweep, result.paths, sweep.data.load(0), result.trials)
    bundle = harvest.export_trial(tmp_path / "best", result.best)

    text = (bundle / "card.json").read_text()
    card = json.loads(text)
    assert card["teacher"] == {"bundle": "teacher", "sha256": sha256, "trial": 5, "sweep": "large-12ab"}
    assert card["pretrained"] == {"bundle": "begun", "sha256": sha256, "trial": 5, "sweep": None}
    assert card["recipe"]["loss"]["teacher"] == "teacher"
    assert str(tmp_path) not in text


def test_a_card_says_which_data_and_how_they_were_prepared_and_names_no_folder(tmp_path: Path) -> None:
    sweep = load_sweep(make_folder(tmp_path, SWEEP), [f"storage.checkpoints={tmp_path}"])

    result = run_sweep(sweep, start_executor=start_local)

    assert result.bundle is not None
    text = (result.bundle / "card.json").read_text()
    card = json.loads(text)
    assert card["data"] == sweep.data.as_tree() | {"path": "rows.npz"}
    assert (card["data"]["kind"], card["data"]["input_norm"]) == ("npz", "minmax")
    assert str(tmp_path) not in text
    assert not card.keys() & {"teacher", "pretrained"}
    assert not result.paths.parents.exists()
