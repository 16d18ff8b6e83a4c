"""Broken sweep files, each with the whole message it must give."""

from pathlib import Path
from typing import get_args

import pytest

from hpo.errors import SweepError
from hpo.sweep import Sweep, load_sweep
from hpo.training.optimizers import Sgd
from hpo.training.recipe import kinds_of

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""
OWN_NETWORK = (
    "A network of your own is named by its Python path, in place of the mapping: `model: my_package.nets:make`."
)
SWEEP_KEYS = ", ".join(Sweep.model_fields)
OPTIMIZERS = ", ".join(kinds_of("optimizer"))
INITIALIZERS = ", ".join(kinds_of("initializer"))
DATA = ", ".join(kind.model_fields["kind"].default for kind in get_args(Sweep.model_fields["data"].annotation))
*FIRST, LAST = (kind for kind, config in kinds_of("optimizer").items() if "beta2" in config.model_fields)
WITH_BETA2 = f"{', '.join(FIRST)} and {LAST}"


def replaced(old: str, new: str) -> str:
    assert old in SWEEP
    return SWEEP.replace(old, new)


def find_mistakes(folder: Path, text: str) -> str:
    path = folder / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(SweepError) as caught:
        load_sweep(path)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batchsize: 32", f"batchsize: unknown key. Did you mean `batch_size`? Known keys: {SWEEP_KEYS}."),
        ("ensembles: {size: 5}", f"ensembles: unknown key. Did you mean `ensemble`? Known keys: {SWEEP_KEYS}."),
        (
            "ensemble: {size: 5}",
            (
                "ensemble.kind: is required, but is missing. Add one of: greedy, top, stack, snapshot, fge, deep, "
                "hyper_deep, swa, soup."
            ),
        ),
        ("ensemble: off", "ensemble: must be none or a mapping such as {kind: greedy, size: 5}, but got off."),
        ("finalists: 5", "finalists: must be a mapping of settings, but got 5."),
        (
            "optimizer: {kind: sgd, momentums: 0.9}",
            (f"optimizer.momentums: unknown key. Did you mean `momentum`? Known keys: {', '.join(Sgd.model_fields)}."),
        ),
        (
            "tracking: {uri: 'https://me:s3cret@host'}",
            (
                "tracking.uri: must hold no password, for others may read the file, but got https://me:***@host. "
                "Export it, and name the variable instead, as in postgresql://me:${MLFLOW_PASSWORD}@host/mlflow."
            ),
        ),
        ("tracking: {url: x}", "tracking.url: unknown key. Did you mean `uri`? Known keys: uri, experiment."),
        ("epochs: many", 'epochs: must be a whole number, but got "many".'),
        ("epochs: '27'", 'epochs: must be a whole number, but got "27". Remove the quotes.'),
        ("epochs: 2.5", "epochs: must be a whole number, but got 2.5."),
        ("batch_size: 0", "batch_size: must be at least 1, but got 0. Raise it."),
        ("optimizer: {kind: sgd, lr: -0.1}", "optimizer.lr: must be above 0, but got -0.1. Raise it."),
        ("optimizer: {kind: sgd, momentum: 1}", "optimizer.momentum: must be below 1, but got 1. Lower it."),
        ("optimizer: {kind: sgd, nesterov: on}", 'optimizer.nesterov: must be true or false, but got "on".'),
        (
            "optimizer: {kind: rms_prop}",
            f"optimizer.kind: must be one of {OPTIMIZERS}, but got rms_prop. Did you mean `rmsprop`?",
        ),
        (
            "optimizer: {lr: 0.1}",
            f"optimizer.kind: is required, but is missing. Add one of: {OPTIMIZERS}.",
        ),
        ("grad_clip: -1", "grad_clip: must be at least 0, but got -1. Raise it."),
        ("resources: {lanes: 0}", "resources.lanes: must be at least 1 or be auto, but got 0. Raise it."),
        (
            "resources: {workers: 2, also: {cpus: 2}}",
            "resources: workers must be 1 with also, whose segments have one each, but is 2. Delete one of them.",
        ),
        (
            "resources: {max_concurrent: 2, autoscaling: true, also: {cpus: 2}}",
            (
                "resources: autoscaling must be false with also, for what machines to come will have left is not "
                "known, but is true. Delete one of them."
            ),
        ),
        (
            "resources: {cpus: 2, also: {cpus: 2}}",
            (
                "resources: also must ask for something else than resources does, but both have cpus 2 and gpus 0. "
                "Delete it, for slots are as many as the machines hold."
            ),
        ),
        ("resources: {lanes: many}", 'resources.lanes: must be a whole number or be auto, but got "many".'),
        ("scheduler: {kind: asha, eta: 1}", "scheduler.eta: must be at least 2, but got 1. Raise it."),
        (
            "scheduler: {kind: asha, min_epochs: 27}",
            (
                "scheduler.min_epochs: must be below epochs, which is 27, but got 27: no trial would ever be stopped. "
                "Lower it, or use scheduler: {kind: none}."
            ),
        ),
        (
            "scheduler: {kind: pbt}\nsampler: {kind: tpe}",
            (
                "scheduler.kind: pbt needs a sampler that never learns, for what a child measures is owed to its "
                "ancestors' params too, but got sampler.kind tpe. Use sampler: {kind: random}, qmc or grid, or another "
                "scheduler."
            ),
        ),
        (
            "scheduler: {kind: pbt, population: 3}",
            (
                "scheduler: quantile must be at least 1 / population, which is 0.333, but got 0.25: nobody would ever "
                "give way. Raise one of the two."
            ),
        ),
        (
            "scheduler: {kind: pbt, quantile: 0.6}\nsampler: {kind: qmc}",
            "scheduler.quantile: must be at most 0.5, but got 0.6. Lower it.",
        ),
        (
            "scheduler: {kind: hyperband, min_epochs: 3, brackets: 4}",
            (
                "scheduler.brackets: must be at most 3, for each bracket begins at another rung of epochs 3, 9 and 27, "
                "but got 4. Lower it, or lower scheduler.min_epochs."
            ),
        ),
        (
            "scheduler: {kind: asha, compare: averaged}",
            (
                "scheduler.compare: averaged needs ema_half_life above 0 in every trial, but it is 0. Set it (an "
                "average by swa_start begins too late for rungs), or compare by last or best."
            ),
        ),
        ("scheduler: asha", 'scheduler: must be a mapping of settings, but got "asha". Write {kind: asha}.'),
        ("budget: 64", "budget: must be a mapping of settings, but got 64."),
        ("budget: {target: .nan}", "budget.target: must be finite, but got NaN. Write a number."),
        (
            "resources: {max_concurrent: many}",
            'resources.max_concurrent: must be a whole number or be auto, but got "many".',
        ),
        (
            "tracking: off",
            "tracking: must be none or a mapping such as {uri: http://localhost:5000}, but got off.",
        ),
        ("export: {formats: [h5]}", 'export.formats.0: must be pt2 or onnx, but got "h5".'),
        (
            "export: {formats: [onnx]}",
            "export.formats: must be [], [pt2] or [pt2, onnx], for hpo itself reads pt2, but got [onnx].",
        ),
        (
            "export: {register_as: digits}",
            "export.register_as: needs export.formats: [pt2, onnx], but that is [pt2]. Add onnx, or delete it.",
        ),
        (
            "name: My sweep",
            (
                "name: must be at most 100 lower-case letters, digits, - and _, beginning with a letter or digit, "
                'but got "My sweep".'
            ),
        ),
        (
            "optimizer: {kind: sgd, nesterov: true, momentum: 0}",
            ("optimizer.nesterov: has no effect, because optimizer.momentum is 0.0. Delete it, or change that."),
        ),
        (
            "points: [{optimizer.lr: 3}]",
            (
                "points.0.optimizer.lr: must lie in the domain {distribution: loguniform, min: 0.0001, max: 1.0}, "
                "but got 3. Change one of the two."
            ),
        ),
        (
            "points: [{optimizer.lr: 0.1}, {batch_size: 64}]",
            (
                "points.1.batch_size: a point may set only what is searched, but batch_size is not. "
                "Searched are: optimizer.lr."
            ),
        ),
        ("points: {optimizer.lr: 0.1}", "points: must be a list, but got a mapping."),
        ("seed: !!int 1", "seed: YAML tags are not allowed, but got tag:yaml.org,2002:int. Write the plain value."),
    ],
)
def test_a_wrong_line_is_explained(tmp_path: Path, line: str, message: str) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + line + "\n")

    assert mistakes == f"sweep.yaml:6: {message}"


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (
            "optimizer.momentum: uniform(0.9, 0)",
            (
                "space.optimizer.momentum: `min < max` must hold, but got min=0.9, max=0. "
                "Swap the bounds, or set the value in the recipe and drop it from the space."
            ),
        ),
        (
            "optimizer.momentum: unifrom(0, 0.9)",
            (
                "space.optimizer.momentum: must be one of uniform, loguniform, quniform, qloguniform, randint, "
                "lograndint, qrandint, choice, ordinal, constant, but got unifrom. Did you mean `uniform`?"
            ),
        ),
        (
            "optimizer.momentum: {distribution: uniform, min: 0}",
            "space.optimizer.momentum.max: is required, but is missing. Add it.",
        ),
        (
            "optimizer.momentum: {distribution: uniform, min: 0, max: 0.9, priors: 0.5}",
            (
                "space.optimizer.momentum.priors: unknown key. Did you mean `prior`? "
                "Known keys: when, prior, prior_confidence, distribution, min, max."
            ),
        ),
        ("optimizer.momentum: uniform(0, a)", 'space.optimizer.momentum: must be a number, but got "a".'),
        (
            "optimizer.momentum: uniform(0, 1)",
            "space.optimizer.momentum: every value must be below 1, but the domain holds 1.0. Change the domain.",
        ),
        (
            "optimizer.learn_rate: uniform(0.1, 1)",
            (
                "space.optimizer.learn_rate: must be a value of the recipe, but there is none. "
                "Did you mean `optimizer.lr`?"
            ),
        ),
        (
            "optimizer.beta2: uniform(0.9, 0.99)",
            (
                "space.optimizer.beta2: must be a setting of optimizer.kind sgd, "
                f"but only {WITH_BETA2} have it. "
                "Drop it, or change the kind."
            ),
        ),
        (
            "initializer.kind: choice(kaiming_normal, he_normal)",
            (f"space.initializer.kind: must be one of {INITIALIZERS}, but got he_normal. Did you mean `normal`?"),
        ),
        (
            "model.hidden: choice(64, 128)",
            "space.model.hidden: every value must be a list, but the domain holds 64. Change the domain.",
        ),
        (
            "batch_size: uniform(16, 64)",
            "space.batch_size: every value must be a whole number, but the domain holds 16.0. Use randint or choice.",
        ),
        (
            "optimizer.momentum: [uniform(0, 0.5), uniform(0.5, 0.9)]",
            (
                "space.optimizer.momentum: a path has one domain, but got a list. Search the widest of them, and "
                "bind it by constraints where it should be narrower, such as optimizer.kind == sgd or "
                "optimizer.lr <= 1e-2."
            ),
        ),
        (
            "epochs: randint(3, 27)",
            (
                "space.epochs: must not be searched, for epochs are what the scheduler spends. "
                "Drop it, and set epochs in the recipe."
            ),
        ),
        (
            "diagnostics.every: randint(1, 3)",
            (
                "space.diagnostics.every: must not be searched, for no trial learns by it. "
                "Drop it, and set diagnostics.every in the recipe."
            ),
        ),
    ],
)
def test_a_wrong_domain_is_explained(tmp_path: Path, domain: str, message: str) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + f"  {domain}\n")

    assert mistakes == f"sweep.yaml:6: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sweep.yaml: must be a mapping, with `key: value` on each line, but is empty."),
        ("- data", "sweep.yaml: must be a mapping, with `key: value` on each line, but is a list."),
        (
            SWEEP + "optimizer: {kind: sgd\n",
            (
                "sweep.yaml:7: must be YAML, but: while parsing a flow mapping expected ',' or '}', "
                "but got '<stream end>'."
            ),
        ),
        (
            SWEEP + "epochs: 3\nepochs: 4\n",
            "sweep.yaml:7: epochs: a key must appear once, but line 6 has it too. Delete one of them.",
        ),
        (
            replaced("metric: {name: val_accuracy, goal: maximize}\n", ""),
            "sweep.yaml: metric: is required, but is missing. Add it.",
        ),
        (
            replaced("maximize", "minimize"),
            "sweep.yaml:3: metric: val_accuracy must be maximized, but the goal is minimize. Change one of them.",
        ),
        (
            replaced("maximize", "maximise"),
            'sweep.yaml:3: metric.goal: must be maximize or minimize, but got "maximise". Did you mean `maximize`?',
        ),
        (
            replaced("digits", "digit"),
            f"sweep.yaml:1: data.kind: must be one of {DATA}, but got digit. Did you mean `digits`?",
        ),
        (
            replaced("{kind: mlp}", "mlp"),
            'sweep.yaml:2: model: must be a mapping of settings, but got "mlp". Write {kind: mlp}.',
        ),
        (
            replaced("{kind: mlp}", "my-nets:make"),
            (
                "sweep.yaml:2: model.factory: must be a function by its Python path, such as my_package.nets:make, "
                'but got "my-nets:make".'
            ),
        ),
        (
            replaced("mlp", "'my_nets:make'"),
            (
                "sweep.yaml:2: model.kind: must be one of mlp, cnn, resnet, resnet9, custom, but got my_nets:make. "
                f"{OWN_NETWORK}"
            ),
        ),
        (
            replaced("{kind: mlp}", "my_nets.make"),
            f'sweep.yaml:2: model: must be a mapping of settings, but got "my_nets.make". {OWN_NETWORK}',
        ),
        (replaced("digits", "npz"), "sweep.yaml:1: data.path: is required, but is missing. Add it."),
        (
            replaced("mlp", "mlp, hidden: [64, wide]"),
            'sweep.yaml:2: model.hidden.1: must be a whole number, but got "wide".',
        ),
        (
            replaced("\n  optimizer.lr: loguniform(1e-4, 1)", " {}"),
            (
                "sweep.yaml:4: space: must hold at least one domain of several values, but holds none. "
                "Add one, such as optimizer.lr: loguniform(1e-4, 1)."
            ),
        ),
        (
            SWEEP + "scheduler: {kind: pbt}\nsampler: {kind: random}\nbudget: {trials: 64}\n",
            (
                "sweep.yaml:8: budget.trials: must be the population with scheduler.kind pbt, which is 16, for its "
                "children are not counted, but got 64. Delete it, or change scheduler.population."
            ),
        ),
        (
            SWEEP + "scheduler: {kind: pbt, every: 27}\nsampler: {kind: random}\n",
            (
                "sweep.yaml:6: scheduler.every: must be below epochs, which is 27, but got 27: there would be no turn. "
                "Lower it, or raise epochs."
            ),
        ),
        (
            SWEEP.replace("optimizer.lr: loguniform(1e-4, 1)", "model.hidden: choice([64], [128])")
            + "scheduler: {kind: pbt}\nsampler: {kind: random}\n",
            (
                "sweep.yaml:4: space: must hold a param that a child can have otherwise than its parent with "
                "scheduler.kind pbt, but model.hidden makes the state from which it goes on. Search a number such as "
                "optimizer.lr too, or use another scheduler."
            ),
        ),
        (
            SWEEP
            + "scheduler: {kind: asha, form: promotion, min_epochs: 1}\n"
            + "sampler: {kind: random}\nbudget: {trials: 26}\n",
            (
                "sweep.yaml:8: budget.trials: must be at least 27 to promote one of 3 at epochs 1, 3 and 9, but got "
                "26: no trial would reach the end. Raise it, raise scheduler.min_epochs, or use form: stopping."
            ),
        ),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    mistakes = find_mistakes(tmp_path, text)

    assert mistakes == message


@pytest.mark.parametrize(
    ("settings", "path", "reason"),
    [
        (
            "augmentation: {auto: trivial, auto_magnitude: 0.5}",
            "augmentation.auto_magnitude",
            "augmentation.auto is trivial",
        ),
        ("augmentation: {gridmask_d: 4}", "augmentation.gridmask_d", "augmentation.gridmask is 0.0"),
        ("augmentation: {gridmask_r: 0.5}", "augmentation.gridmask_r", "augmentation.gridmask is 0.0"),
        (
            "augmentation: {hide_and_seek_grid: 4}",
            "augmentation.hide_and_seek_grid",
            "augmentation.hide_and_seek is 0.0",
        ),
        ("augmentation: {mix_alpha: 0.2}", "augmentation.mix_alpha", "augmentation.mix is none"),
        ("augmentation: {mix_prob: 0.5}", "augmentation.mix_prob", "augmentation.mix is none"),
        ("  augmentation.mix_alpha: loguniform(0.1, 1)", "space.augmentation.mix_alpha", "augmentation.mix is none"),
        ("  model.leaky_slope: uniform(0, 0.5)", "space.model.leaky_slope", "model.activation is relu"),
        ("  model.maxout_k: randint(2, 4)", "space.model.maxout_k", "model.activation is relu"),
        ("  model.norm_position: choice(before, after)", "space.model.norm_position", "model.norm is none"),
        ("  model.norm_momentum: uniform(0.1, 0.5)", "space.model.norm_momentum", "model.norm is none"),
        ("  model.ghost_batch: choice(0, 16)", "space.model.ghost_batch", "model.norm is none"),
        (
            "  model.norm_momentum: uniform(0.1, 0.5)\n  model.norm: choice(none, layer)",
            "space.model.norm_momentum",
            "model.norm is none or layer",
        ),
        ("batch_growth: {factor: 3}", "batch_growth.factor", "batch_growth.every is 0.0"),
        ("batch_growth: {most: 512}", "batch_growth.most", "batch_growth.every is 0.0"),
        ("schedule: {kind: warm_restarts, cycles: 1, stretch: 2}", "schedule.stretch", "schedule.cycles is 1"),
        ("schedule: {kind: cyclic, cycles: 1, decay: 0.5}", "schedule.decay", "schedule.cycles is 1"),
        ("early_stopping: {min_delta: 0.01}", "early_stopping.min_delta", "early_stopping.patience is 0"),
        ("swa_lr: 0.1", "swa_lr", "swa_start is 0.0"),
        ("diagnostics: {kinds: [updates]}", "diagnostics.kinds", "diagnostics.every is 0"),
        ("snapshots: all", "snapshots", "schedule.kind is cosine"),
        ("  swa_lr: uniform(0.05, 0.5)", "space.swa_lr", "swa_start is 0.0"),
        (
            "optimizer: {kind: sgd, weight_decay: 0, decay_mode: decoupled}",
            "optimizer.decay_mode",
            "optimizer.weight_decay is 0.0",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(tmp_path: Path, settings: str, path: str, reason: str) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + settings + "\n")

    assert mistakes == f"sweep.yaml:6: {path}: has no effect, because {reason}. Delete it, or change that."


@pytest.mark.parametrize(
    ("settings", "path", "needed", "got"),
    [
        ("snapshots: all\nschedule: {kind: cyclic}", "schedule.kind", "fge", "cyclic"),
        ("schedule: {kind: fge}", "snapshots", "all", "last"),
    ],
)
def test_an_ensemble_of_the_ends_of_short_cycles_needs_some(
    tmp_path: Path, settings: str, path: str, needed: str, got: str
) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + settings + "\nensemble: {kind: fge}\n")

    why = f"must be {needed} for ensemble.kind: fge, but may be {got}. Set it, or ask for another kind."
    assert mistakes.endswith(f"{path}: {why}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "schedule: {kind: plateau}",
            (
                "schedule.kind: must not be plateau with scheduler.kind asha, which would stop trials by the losses "
                "that their rates have followed. Use scheduler: {kind: none}, or another schedule."
            ),
        ),
        (
            "  schedule.kind: choice(cosine, plateau)",
            (
                "space.schedule.kind: must not be plateau with scheduler.kind asha, which would stop trials by the "
                "losses that their rates have followed. Use scheduler: {kind: none}, or another schedule."
            ),
        ),
        (
            "early_stopping: {patience: 5}",
            (
                "early_stopping.patience: must not be 5 with scheduler.kind asha, which judges trials by how they "
                "stand at its rungs, not by their best epoch. Use scheduler: {kind: none}, or patience 0."
            ),
        ),
        (
            "  early_stopping.patience: choice(0, 3)",
            (
                "space.early_stopping.patience: must not be 3 with scheduler.kind asha, which judges trials by how "
                "they stand at its rungs, not by their best epoch. Use scheduler: {kind: none}, or patience 0."
            ),
        ),
    ],
)
def test_what_follows_the_losses_of_a_trial_is_refused_where_trials_are_stopped_by_them(
    tmp_path: Path, settings: str, message: str
) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + settings + "\nscheduler: {kind: asha}\n")

    assert mistakes == f"sweep.yaml:6: {message}"


def test_a_value_off_the_steps_of_a_setting_is_refused(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, replaced("mlp", "mlp, norm: batch, ghost_batch: 3"))

    assert mistakes == "sweep.yaml:2: model.ghost_batch: must be a multiple of 2, but got 3."


def test_padding_is_refused_where_nothing_moves(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + "augmentation: {padding: zero}\n")

    assert mistakes == (
        "sweep.yaml:6: augmentation.padding: has no effect, because augmentation.translate is 0 and "
        "augmentation.scale_min is 1.0 and augmentation.rotate_deg is 0.0 and augmentation.auto is none and "
        "augmentation.strength is 0. Delete it, or change one of these."
    )


def test_the_size_of_groups_is_refused_where_nothing_is_grouped(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, replaced("mlp", "cnn, group_size: 4"))

    assert mistakes == (
        "sweep.yaml:2: model.group_size: has no effect, because model.norm is batch. Delete it, or change that."
    )


def test_a_share_of_test_images_is_refused_beside_a_folder_of_them(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, replaced("digits", "images, folder: a, test_folder: b, test: 0.1"))

    assert mistakes == (
        "sweep.yaml:1: data.test: has no effect, because data.test_folder is b. Delete it, or change that."
    )


@pytest.mark.parametrize(
    "settings",
    [
        "  model.norm: choice(none, batch)\n  model.norm_momentum: uniform(0.1, 0.5)",
        "  optimizer.kind: choice(rmsprop, sgd)\n  optimizer.momentum: uniform(0, 0.9)",
        "  model.activation: choice(relu, leaky_relu)\n  model.leaky_slope: uniform(0.1, 0.5)",
        "  augmentation.translate: choice(0, 2)\naugmentation: {padding: zero}",
        "  optimizer.weight_decay: uniform(0, 0.1)\noptimizer: {kind: sgd, weight_decay: 0, decay_mode: decoupled}",
        "optimizer: {kind: sgd, weight_decay: 0, decay_mode: coupled}",
        "  augmentation.strength: choice(0, 1, 2, 3)\naugmentation: {flip: none}",
    ],
)
def test_a_setting_that_has_an_effect_on_some_trial_is_accepted(tmp_path: Path, settings: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP + settings + "\n")

    assert load_sweep(path).name == "sweep"


@pytest.mark.parametrize(
    ("settings", "path", "reason"),
    [
        (
            "  augmentation.flip: choice(none, random)\naugmentation: {strength: 1}",
            "augmentation.flip",
            "while augmentation.strength is 1",
        ),
        (
            "  augmentation.strength: randint(0, 3)\naugmentation: {cutout: 2}",
            "augmentation.strength",
            "while augmentation.cutout is 2",
        ),
        ("  swa_start: uniform(0, 0.9)\nema_half_life: 2", "swa_start", "while ema_half_life is 2.0"),
        ("  ema_half_life: choice(0.0, 2.0)\nswa_start: 0.5", "ema_half_life", "while swa_start is 0.5"),
        (
            "  swa_start: uniform(0, 0.9)\n  ema_half_life: uniform(0, 2)",
            "swa_start",
            "beside ema_half_life",
        ),
    ],
)
def test_of_two_rivals_only_one_may_be_searched(tmp_path: Path, settings: str, path: str, reason: str) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + settings + "\n")

    advice = "Drop one of the two, or give each a condition." if "beside" in reason else "Drop one of the two."
    assert mistakes == (
        f"sweep.yaml:6: space.{path}: must not be searched {reason}, for a trial may have only one of them. {advice}"
    )


@pytest.mark.parametrize(
    ("path", "guess"),
    [
        ("regularizer.l2", "regularizer.l1"),
        ("augmentation.flips", "augmentation.flip"),
        ("lr_factor.biases", "lr_factor.bias"),
        ("epochs.x", "epochs"),
    ],
)
def test_an_unknown_path_in_a_section_without_kinds_is_explained(tmp_path: Path, path: str, guess: str) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + f"  {path}: uniform(0, 1)\n")

    assert mistakes == (
        f"sweep.yaml:6: space.{path}: must be a value of the recipe, but there is none. Did you mean `{guess}`?"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load_sweep(tmp_path / "nowhere.yaml")

    assert str(caught.value) == f"{tmp_path}/nowhere.yaml: no such file. Check the path."


def test_a_constraint_is_not_blamed_for_a_domain_that_cannot_be_read(tmp_path: Path) -> None:
    text = SWEEP.replace("loguniform(1e-4, 1)", "loguniform(1e-4..1)") + "constraints: ['optimizer.lr < 0.5']\n"

    mistakes = find_mistakes(tmp_path, text)

    assert mistakes == (
        "sweep.yaml:5: space.optimizer.lr: loguniform is written loguniform(min, max), but got loguniform(1e-4..1)."
    )


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load_sweep(tmp_path)

    assert str(caught.value) == f"{tmp_path}: must be a file, but is a folder. Name a file in it."


def test_all_mistakes_come_at_once_by_line(tmp_path: Path) -> None:
    text = (
        "epochs: -1\n"
        + replaced("(1e-4, 1)", "(0, 1)")
        + "  batch_sizes: choice(32, 64)\n"
        + "scheduler: {kind: asha, eta: 1}\n"
        + "seed: 1\nseed: 2\n"
    )

    mistakes = find_mistakes(tmp_path, text)

    assert mistakes.splitlines() == [
        "sweep.yaml:1: epochs: must be at least 1, but got -1. Raise it.",
        (
            "sweep.yaml:6: space.optimizer.lr: `min > 0` must hold, but got min=0: a logarithm needs it. "
            "Raise min, or use uniform."
        ),
        "sweep.yaml:7: space.batch_sizes: must be a value of the recipe, but there is none. Did you mean `batch_size`?",
        "sweep.yaml:8: scheduler.eta: must be at least 2, but got 1. Raise it.",
        "sweep.yaml:10: seed: a key must appear once, but line 9 has it too. Delete one of them.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        SWEEP + "  optimizer.momentum: uniform(0, 0.9)\noptimizer: {kind: lion, momentum: 0.5}\n",
        SWEEP + "  optimizer.beta2: uniform(0.9, 0.99)\n  optimizer.kind: choice(adamw)\n",
        replaced("(1e-4, 1)", "(1)") + "points: [{optimizer.lr: 0.1}]\n",
    ],
)
def test_a_mistake_does_not_drag_others_after_it(tmp_path: Path, text: str) -> None:
    mistakes = find_mistakes(tmp_path, text)

    assert len(mistakes.splitlines()) == 1


def test_a_path_that_only_some_searched_kinds_have_is_refused(tmp_path: Path) -> None:
    text = SWEEP + "  optimizer.kind: choice(sgd, adamw)\n  optimizer.momentum: uniform(0, 0.9)\n"

    mistakes = find_mistakes(tmp_path, text)

    assert mistakes == (
        "sweep.yaml:7: space.optimizer.momentum: must exist under every optimizer.kind that it meets, but adamw has no "
        "such setting. Give the domain a condition, when: optimizer.kind == sgd, or drop adamw from optimizer.kind."
    )


def test_a_searched_kind_that_needs_more_settings_is_refused_once(tmp_path: Path) -> None:
    text = SWEEP + "  model.kind: choice(mlp, custom)\n  model.dropout: uniform(0, 0.5)\n"

    mistakes = find_mistakes(tmp_path, text)

    assert mistakes == (
        "sweep.yaml:6: space.model.kind: every kind must do without more settings, but custom needs factory. "
        "Drop it here."
    )


def test_a_mistake_in_a_space_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "mlp.yaml").write_text("model.dropout: uniform(0, 0.5)\nmodel.hiden: choice([1], [2])\n")

    mistakes = find_mistakes(tmp_path, SWEEP + "  file: mlp.yaml\n")

    assert mistakes == (
        "sweep.yaml:4: space.model.hiden: must be a value of the recipe, but there is none. "
        "Did you mean `model.hidden`? (in mlp.yaml:2)"
    )


def test_a_missing_space_file_is_named(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, replaced("\n  optimizer.lr: loguniform(1e-4, 1)", " nowhere.yaml"))

    assert mistakes == "sweep.yaml:4: space.file: nowhere.yaml: no such file. Check the path."


def test_a_broken_space_file_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, SWEEP + "  file: nowhere.yaml\nepochs: 0\n")

    assert mistakes.splitlines() == [
        "sweep.yaml:6: space.file: nowhere.yaml: no such file. Check the path.",
        "sweep.yaml:7: epochs: must be at least 1, but got 0. Raise it.",
    ]


@pytest.mark.parametrize(
    ("text", "line", "key", "got"),
    [
        (replaced("mlp", "cnn") + "batch_size: 4\n", 6, "batch_size", 4),
        (replaced("mlp", "cnn") + "  batch_size: choice(64, 4)\n", 6, "space.batch_size", 4),
        (replaced("mlp", "cnn") + "  batch_size: randint(2, 64)\n", 6, "space.batch_size", 2),
        (SWEEP + "  model.norm: choice(none, batch)\nbatch_size: 7\n", 7, "batch_size", 7),
        (SWEEP + "  model.kind: choice(mlp, resnet)\nbatch_size: 7\n", 7, "batch_size", 7),
    ],
)
def test_batch_norm_of_very_small_batches_is_refused(tmp_path: Path, text: str, line: int, key: str, got: int) -> None:
    mistakes = find_mistakes(tmp_path, text)

    assert mistakes == (
        f"sweep.yaml:{line}: {key}: must be at least 8 with model.norm: batch, which takes statistics of every batch, "
        f"but got {got}. Raise it, or use another norm, such as layer."
    )
