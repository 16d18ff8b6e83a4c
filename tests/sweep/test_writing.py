from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from hpo.sweep import dump_resolved, load_sweep, sweep_schema
from hpo.training.data import Digits
from hpo.training.optimizers import Sgd
from hpo.training.recipe import kinds_of

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(ROOT.glob("experiments/*.yaml"))
SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""


def validate(text: str) -> None:
    jsonschema.validate(YAML(typ="safe", pure=True).load(text), sweep_schema())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_resolved_experiment_loads_again_to_an_equal_sweep(path: Path, tmp_path: Path) -> None:
    sweep = load_sweep(path)
    resolved = tmp_path / "resolved.yaml"

    resolved.write_text(dump_resolved(sweep))

    assert load_sweep(resolved) == sweep


@pytest.mark.parametrize(
    "line",
    [
        "optimizer: {kind: sgd, momentum: 0}",
        "tracking: none",
        "tracking: {experiment: '1e-4'}",
        "  model.hidden: choice([64], [128, 128])",
        "  initializer.gain: uniform(0.1, 1)\ninitializer: {kind: orthogonal}",
        "export: {formats: []}",
        "points: [{optimizer.lr: 0.30000000000000004}]",
        "resources: {lanes: 8}",
        "optimizer: {kind: rmsprop}",
        "augmentation: {flip: random, mix: mixup, gridmask: 0.5}",
        "augmentation: {strength: 2, padding: zero}",
        "  model.norm: choice(none, batch, layer)",
        "  optimizer.kind: choice(rmsprop, sgd)\noptimizer: {kind: rmsprop}",
        "  augmentation.mix: choice(none, mixup)",
        "batch_growth: {every: 0.3, factor: 3}",
        "  batch_growth.every: choice(0, 0.3)",
        "schedule: {kind: plateau}\nscheduler: {kind: none}",
        "early_stopping: {patience: 3, min_delta: 0.01}\nscheduler: {kind: none}",
        "scheduler: {kind: pbt}",
        "scheduler: {kind: pbt, population: 8}\nsampler: {kind: random}\nbudget: {trials: 8}",
        "swa_start: 0.75",
        "swa_start: 0.75\nswa_lr: 0.1",
        "  swa_lr: uniform(0, 0.5)\nswa_start: 0.75",
    ],
)
def test_a_resolved_sweep_loads_again_whatever_is_set(line: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP + line + "\n")
    sweep = load_sweep(path)

    path.write_text(dump_resolved(sweep))

    assert load_sweep(path) == sweep


@pytest.mark.parametrize("file", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_resolved_sweep_loads_again_over_every_space_file(file: Path, tmp_path: Path) -> None:
    model = file.stem if file.stem in kinds_of("model") else "cnn"
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.partition("space:")[0].replace("mlp", model) + f"space: {file}\n")
    sweep = load_sweep(path)

    path.write_text(dump_resolved(sweep))

    assert load_sweep(path) == sweep


@pytest.mark.parametrize("model", ["nets:make", "{kind: custom, factory: nets:make, arguments: {depth: [1, 2]}}"])
def test_a_resolved_sweep_loads_again_with_a_model_of_the_users_own(model: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.replace("{kind: mlp}", model))
    sweep = load_sweep(path)

    path.write_text(dump_resolved(sweep))

    assert load_sweep(path) == sweep
    validate(path.read_text())


def test_a_resolved_sweep_says_every_default(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)

    resolved = dump_resolved(load_sweep(path))

    tree = YAML(typ="safe", pure=True).load(resolved)
    assert resolved.startswith("name: sweep\ndata: {kind: digits, ")
    assert tree["data"] == Digits().as_tree()
    assert tree["optimizer"] == Sgd().as_tree()
    assert tree["scheduler"] == {"kind": "auto"}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_schema_accepts_every_experiment_and_its_resolved_form(path: Path) -> None:
    validate(path.read_text())
    validate(dump_resolved(load_sweep(path)))


@pytest.mark.parametrize(
    "text",
    [
        SWEEP + "batchsize: 3\n",
        SWEEP + "epochs: many\n",
        SWEEP.replace("loguniform(1e-4, 1)", "from 1e-4 to 1"),
        SWEEP.replace("kind: mlp", "kind: lstm"),
        SWEEP.replace("{kind: mlp}", "my_package.nets.make"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(text)


def test_the_schema_accepts_short_ways_to_write() -> None:
    validate(SWEEP.partition("space:")[0] + "space: core.yaml\ntracking: none\n")
    validate(SWEEP.replace("{kind: mlp}", "my_package.nets:make") + "resources: {lanes: auto}\n")


@pytest.mark.parametrize(
    ("space", "model"),
    [("core", "{kind: mlp}"), ("core", "{kind: cnn}"), ("mlp", "{kind: mlp}"), ("cnn", "{kind: cnn}")],
)
def test_every_space_file_fits_the_model_it_is_for(space: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    file = ROOT / "search_spaces" / f"{space}.yaml"
    path.write_text(SWEEP.partition("space:")[0].replace("{kind: mlp}", model) + f"space: {file}\n")

    sweep = load_sweep(path)

    assert len(sweep.space) >= 4
