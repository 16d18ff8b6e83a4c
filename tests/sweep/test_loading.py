from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.records import Goal
from hpo.scheduling import Asha, FreezeThaw
from hpo.search.samplers import Curves
from hpo.spaces import Choice, LogUniform, Uniform
from hpo.sweep import Sweep, Tracking, load_sweep
from hpo.sweep.choosing import Auto
from hpo.training.data import Digits, Images, Npz
from hpo.training.models import Custom, Mlp
from hpo.training.optimizers import AdamW, RmsProp, Sgd
from hpo.training.recipe import Recipe

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.yaml"
SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""


def write(folder: Path, text: str, name: str = "sweep.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_least_sweep_has_a_default_for_everything_else(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP))

    assert sweep.data == Digits()
    assert sweep.metric.goal is Goal.MAXIMIZE
    assert sweep.space == {"optimizer.lr": LogUniform(min=1e-4, max=1)}
    assert sweep.recipe == Recipe(model=Mlp())
    assert (sweep.sampler, sweep.scheduler) == (Auto(), Auto())
    assert (sweep.chosen.sampler, sweep.chosen.scheduler) == (Curves(), FreezeThaw())
    assert sweep.experiment == "sweep"


@pytest.mark.parametrize(("file", "name"), [("digits-mlp.yaml", "digits-mlp"), ("My Sweep.yaml", "sweep")])
def test_a_sweep_without_a_name_has_its_files(tmp_path: Path, file: str, name: str) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP, file))

    assert sweep.name == name


def test_lists_become_tuples_and_numbers_need_no_point(tmp_path: Path) -> None:
    text = SWEEP.replace("kind: mlp", "kind: mlp, hidden: [64, 32]") + "optimizer: {kind: sgd, lr: 1, momentum: 5e-1}\n"

    sweep = load_sweep(write(tmp_path, text))

    assert sweep.model == Mlp(hidden=(64, 32))
    assert sweep.optimizer == Sgd(lr=1.0, momentum=0.5)


def test_points_may_set_some_of_the_paths(tmp_path: Path) -> None:
    text = SWEEP + "  model.hidden: choice([64], [128, 128])\npoints: [{model.hidden: [64]}, {optimizer.lr: 1}]\n"

    sweep = load_sweep(write(tmp_path, text))

    assert sweep.points == ({"model.hidden": (64,)}, {"optimizer.lr": 1})


def test_a_searched_kind_lends_its_paths_to_the_space(tmp_path: Path) -> None:
    text = SWEEP + "  optimizer.kind: choice(sgd, adamw)\n  optimizer.weight_decay: loguniform(1e-6, 1e-2)\n"

    sweep = load_sweep(write(tmp_path, text))

    assert sweep.space["optimizer.kind"] == Choice(values=("sgd", "adamw"))


def test_tracking_none_is_no_tracking(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP + "tracking: none\n"))

    assert sweep.tracking is None


def test_an_experiment_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP + "tracking: {experiment: Shared}\n"))

    assert sweep.tracking == Tracking(experiment="Shared")
    assert sweep.experiment == "Shared"


def test_default_nesterov_without_momentum_is_no_mistake(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP + "optimizer: {kind: sgd, momentum: 0}\n"))

    assert sweep.optimizer == Sgd(momentum=0)


def test_an_optimizer_that_has_momentum_but_no_nesterov_may_go_without(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP + "optimizer: {kind: rmsprop, momentum: 0}\n"))

    assert sweep.optimizer == RmsProp(momentum=0)


def test_a_model_may_be_no_more_than_the_path_of_a_function(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP.replace("{kind: mlp}", "my_package.nets:make")))

    assert sweep.model == Custom(factory="my_package.nets:make")


def test_an_override_may_bring_a_model_by_its_path(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP), ["model=nets:make"])

    assert sweep.model == Custom(factory="nets:make")


def test_arguments_of_a_model_of_the_users_own_may_be_searched(tmp_path: Path) -> None:
    model = "{kind: custom, factory: nets:make, arguments: {width: 8}}"

    sweep = load_sweep(
        write(tmp_path, SWEEP.replace("{kind: mlp}", model) + "  model.arguments.width: choice(8, 16)\n")
    )

    assert sweep.space["model.arguments.width"] == Choice(values=(8, 16))


def test_data_paths_are_relative_to_the_sweep_file(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP.replace("kind: digits", "kind: npz, path: data/mine.npz")))

    assert sweep.data == Npz(path=tmp_path / "data" / "mine.npz")


def test_the_folder_of_a_test_split_is_relative_to_the_sweep_file(tmp_path: Path) -> None:
    sweep = load_sweep(
        write(tmp_path, SWEEP.replace("kind: digits", "kind: images, folder: data/train, test_folder: data/test"))
    )

    assert sweep.data == Images(folder=tmp_path / "data" / "train", test_folder=tmp_path / "data" / "test")


@pytest.mark.parametrize("space", ["space: spaces/core.yaml", "space: {file: spaces/core.yaml}"])
def test_a_space_may_lie_in_a_file_beside(tmp_path: Path, space: str) -> None:
    (tmp_path / "spaces").mkdir()
    write(tmp_path, "optimizer.lr: uniform(0.1, 1)\nbatch_size: choice(32, 64)\n", "spaces/core.yaml")
    text = SWEEP.partition("space:")[0] + space

    sweep = load_sweep(write(tmp_path, text))

    assert sweep.space == {"optimizer.lr": Uniform(min=0.1, max=1), "batch_size": Choice(values=(32, 64))}


def test_the_sweeps_own_domains_win_over_the_files(tmp_path: Path) -> None:
    write(tmp_path, "optimizer.lr: uniform(0.1, 1)\nbatch_size: choice(32, 64)\n", "core.yaml")

    sweep = load_sweep(write(tmp_path, SWEEP + "  file: core.yaml\n"))

    assert sweep.space == {"optimizer.lr": LogUniform(min=1e-4, max=1), "batch_size": Choice(values=(32, 64))}


def test_overrides_are_set_over_the_file_in_order(tmp_path: Path) -> None:
    overrides = ["epochs=9", "epochs=3", "model.hidden=[8, 8]", "space.optimizer.lr=uniform(0.1, 1)"]

    sweep = load_sweep(write(tmp_path, SWEEP), overrides)

    assert sweep.epochs == 3
    assert sweep.model == Mlp(hidden=(8, 8))
    assert sweep.space == {"optimizer.lr": Uniform(min=0.1, max=1)}


def test_overrides_may_begin_sections_that_the_file_leaves_out(tmp_path: Path) -> None:
    overrides = [
        "optimizer.lr=0.3",
        "budget.trials=8",
        "scheduler.kind=asha",
        "scheduler.eta=4",
        "space.batch_size=choice(32, 64)",
    ]

    sweep = load_sweep(write(tmp_path, SWEEP), overrides)

    assert sweep.optimizer == Sgd(lr=0.3)
    assert sweep.budget.trials == 8
    assert sweep.scheduler == Asha(eta=4)
    assert list(sweep.space) == ["optimizer.lr", "batch_size"]


@pytest.mark.parametrize("text", [SWEEP, SWEEP + "lr_range: null\n", SWEEP + "lr_range: {smoothing: 0.5}\n"])
def test_an_override_may_begin_a_section_that_is_none_by_default(tmp_path: Path, text: str) -> None:
    sweep = load_sweep(write(tmp_path, text), ["lr_range.steps=100"])

    assert sweep.lr_range is not None
    assert sweep.lr_range.steps == 100


def test_an_override_may_change_a_kind_with_its_settings(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, SWEEP), ["optimizer={kind: adamw, beta2: 0.95}"])

    assert sweep.optimizer == AdamW(beta2=0.95)


def test_an_override_may_add_a_domain_to_a_space_in_a_file(tmp_path: Path) -> None:
    write(tmp_path, "optimizer.lr: uniform(0.1, 1)\n", "core.yaml")
    path = write(tmp_path, SWEEP.partition("space:")[0] + "space: core.yaml\n")

    sweep = load_sweep(path, ["space.batch_size=choice(32, 64)"])

    assert list(sweep.space) == ["optimizer.lr", "batch_size"]


@pytest.mark.parametrize("space", ["  batch_size: choice(32, 64)\n", "  file: core.yaml\n"])
def test_an_override_may_change_a_setting_of_a_domain(tmp_path: Path, space: str) -> None:
    write(tmp_path, "batch_size: choice(32, 64)\n", "core.yaml")
    overrides = ["space.batch_size.prior=64", "space.batch_size.when=optimizer.lr > 0.1", "space.optimizer.lr.min=1e-3"]

    sweep = load_sweep(write(tmp_path, SWEEP + space), overrides)

    assert sweep.space["batch_size"] == Choice(values=(32, 64), prior=64, when="optimizer.lr > 0.1")
    assert sweep.space["optimizer.lr"] == LogUniform(min=1e-3, max=1)


def test_an_override_may_change_or_add_an_entry_of_a_list(tmp_path: Path) -> None:
    text = SWEEP + "  batch_size: choice(32, 64)\nconstraints: [optimizer.lr < 0.9]\npoints: [{optimizer.lr: 0.1}]\n"
    constraints = ["constraints.0=optimizer.lr < 0.5", "constraints.1=batch_size * optimizer.lr < 16"]

    sweep = load_sweep(write(tmp_path, text), [*constraints, "points.0.optimizer.lr=0.2", "points.1={batch_size: 64}"])
    begun = load_sweep(write(tmp_path, SWEEP), ["constraints.0=optimizer.lr < 0.5"])

    assert sweep.constraints == ("optimizer.lr < 0.5", "batch_size * optimizer.lr < 16")
    assert sweep.points == ({"optimizer.lr": 0.2}, {"batch_size": 64})
    assert begun.constraints == ("optimizer.lr < 0.5",)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "space.optimizer.lrs.when=batch_size > 32",
            (
                "space.optimizer.lrs.when: must be a setting of a domain, but optimizer.lrs is not searched. "
                "Did you mean `optimizer.lr`?"
            ),
        ),
        (
            "space.optimizer.lr.step=0.1",
            (
                "space.optimizer.lr.step: unknown key. "
                "Known keys: when, prior, prior_confidence, distribution, min, max."
            ),
        ),
        (
            "constraints.1=optimizer.lr < 0.5",
            (
                "constraints.1: must name an entry of a list by its number, from 0 to 0, where the last one adds an "
                "entry, but got 1."
            ),
        ),
        (
            "constraints.0=optimizer.lr < 2",
            "constraints.0: binds none of 2000 trials drawn at random: optimizer.lr < 2. Delete it.",
        ),
        (
            "optimzer.lr=0.3",
            (
                "optimzer.lr: optimzer must be a section of the sweep, for optimzer.lr=0.3 to be set in it. "
                "Did you mean `optimizer`?"
            ),
        ),
        ("epochs.lr=1", "epochs.lr: epochs must be a section of the sweep, for epochs.lr=1 to be set in it."),
        ("epochs", "an override is written key.path=value, but got epochs."),
        ("epochs=[1", "epochs: an override's value must be YAML, but got epochs=[1. Quote it for the shell."),
        ("batch_size=0", "batch_size: must be at least 1, but got 0. Raise it."),
    ],
)
def test_a_wrong_override_is_explained_without_a_line(tmp_path: Path, override: str, message: str) -> None:
    path = write(tmp_path, SWEEP + "batch_size: 32\n")

    with pytest.raises(SweepError) as caught:
        load_sweep(path, [override])

    assert str(caught.value) == f"{path}: {message}"


def test_a_sweep_made_in_python_keeps_the_same_rules() -> None:
    sweep = load_sweep(DIGITS)
    settings = {name: getattr(sweep, name) for name in Sweep.model_fields}

    with pytest.raises(SweepError, match="sweep digits: space: must hold at least one domain of several values"):
        Sweep(**settings | {"space": {}, "points": ()})
