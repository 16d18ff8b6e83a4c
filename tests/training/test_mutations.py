"""That tests which pin a formula fail where it is broken: each in a copy of the package with one formula changed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUM_AT_ONCE = 2
TESTS_FAILED = 1
"""pytest's exit code; a broken import or a missing test has another."""


@dataclass(frozen=True)
class Mutation:
    """A formula, what it is changed to, and the test that must see it."""

    file: str
    before: str
    after: str
    test: str

    @property
    def test_file(self) -> str:
        return self.test.partition("::")[0]


MUTATIONS = {
    "smoothing of C times the mass": Mutation(
        "losses.py",
        "weighted.mean((1, 2))",
        "weighted.sum(2).mean(1)",
        "test_losses.py::test_cross_entropy_equals_torchs",
    ),
    "focal loss of the power gamma + 1": Mutation(
        "losses.py",
        'missing ** hyper["gamma"].view(-1, 1, 1)',
        'missing ** (hyper["gamma"].view(-1, 1, 1) + 1)',
        "test_losses.py::test_focal_loss_of_a_hand_worked_example",
    ),
    "kaiming of variance 4 / fan^2": Mutation(
        "initializers/scaled.py",
        "weight.normal_(0, gain / math.sqrt(_fan(weight, mode))",
        "weight.normal_(0, gain * math.sqrt(2) / _fan(weight, mode)",
        "test_initializers.py::test_weights_have_the_variance_of_the_formula",
    ),
    "a prior that is no logarithm": Mutation(
        "initializers/layers.py",
        "(class_counts.clamp(min=1) / class_counts.sum()).log()",
        "class_counts.clamp(min=1) / class_counts.sum()",
        "test_initializers.py::test_log_prior_starts_at_the_entropy_of_the_classes",
    ),
    "nesterov from the buffer alone": Mutation(
        "optimizers/sgd.py",
        "direction = grad + momentum * buffer if",
        "direction = momentum * buffer if",
        "test_optimizers.py::test_lanes_equal_torch_optim",
    ),
    "adamw's decay without the rate": Mutation(
        "optimizers/adam.py",
        'shrink(group, rate * hyper["weight_decay"])',
        'shrink(group, hyper["weight_decay"])',
        "test_optimizers.py::test_lanes_equal_torch_optim",
    ),
    "rmsprop's epsilon inside the root": Mutation(
        "optimizers/rmsprop.py",
        '(square.sqrt() + over(hyper["eps"], param))',
        '(square + over(hyper["eps"], param)).sqrt()',
        "test_optimizers.py::test_lanes_equal_torch_optim",
    ),
    "a cosine without its floor": Mutation(
        "schedules/pieces.py",
        "end + (start - end) * 0.5",
        "(start - end) * 0.5",
        "test_schedules.py::test_a_schedule_equals_torchs_own",
    ),
    "a running average by time constant": Mutation(
        "program.py",
        "0.5 ** (1 / (half_life * steps_per_epoch))",
        "math.exp(-1 / (half_life * steps_per_epoch))",
        "test_solo.py::test_the_running_average_halves_in_its_half_life",
    ),
    "max-norm over the whole matrix": Mutation(
        "regularizers.py",
        "norms = param.flatten(2).norm(dim=2)",
        "norms = param.flatten(1).norm(dim=1, keepdim=True).expand(param.shape[:2])",
        "test_regularizers.py::test_max_norm_equals_torchs_renorm",
    ),
    "noise whose variance is a deviation": Mutation(
        "regularizers.py",
        "** NOISE_DECAY).sqrt()",
        "** NOISE_DECAY)",
        "test_regularizers.py::test_gradient_noise_has_the_variance_of_the_paper",
    ),
    "dropped weights that are not scaled up": Mutation(
        "models/layers.py",
        "(kept / (1 - rates))",
        "(kept * torch.ones_like(rates))",
        "test_models_layers.py::test_dropconnect_drops_weights_and_keeps_the_mean",
    ),
    "patches divided by variances": Mutation(
        "models/whitening.py",
        "(variances.clamp(min=0) + EPS).sqrt()",
        "(variances.clamp(min=0) + EPS)",
        "test_whitening.py::test_whitened_patches_have_mean_0_and_the_identity_for_covariance",
    ),
    "images that shrink without smoothing": Mutation(
        "data/normalization.py",
        "antialias=True",
        "antialias=False",
        "test_data_preparation.py::test_images_are_resized_as_pillow_resizes_them",
    ),
    "mixup with the shares exchanged": Mutation(
        "augmentations/mixing.py",
        "of_each * x + (1 - of_each) * x[other]",
        "(1 - of_each) * x + of_each * x[other]",
        "test_augmentations.py::test_mixup_weighs_inputs_as_the_paper_does",
    ),
    "cutmix by the share that was drawn": Mutation(
        "augmentations/mixing.py",
        "1 - mask.to(x.dtype).mean((1, 2, 3))",
        "share",
        "test_augmentations.py::test_cutmix_counts_the_box_as_it_was_cut_off_at_the_edge",
    ),
    "gridmask of the ratio that is kept": Mutation(
        "augmentations/augment.py",
        "self.gridmask_d - math.ceil(self.gridmask_d * self.gridmask_r)",
        "math.ceil(self.gridmask_d * self.gridmask_r)",
        "test_augmentations.py::test_gridmask_hides_the_share_that_the_paper_gives",
    ),
}


def groups() -> list[list[str]]:
    """Mutations that share a copy: each with a test file of its own, which does not see the formulas of the others."""
    found: list[list[str]] = []
    for name, mutation in MUTATIONS.items():
        free = (group for group in found if mutation.test_file not in {MUTATIONS[other].test_file for other in group})
        group = next(free, None)
        if group is None:
            found.append([name])
        else:
            group.append(name)
    return found


def seen(names: Sequence[str], folder: Path) -> set[str]:
    """Those of the mutations whose tests fail, in a copy of package and tests, in `folder`, that has them all."""
    mutations = {name: MUTATIONS[name] for name in names}
    for part in ("hpo", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for mutation in mutations.values():
        file = folder / "hpo/training" / mutation.file
        text = file.read_text(encoding="utf-8")
        assert text.count(mutation.before) == 1, f"{mutation.before} must stand in {mutation.file} once"
        file.write_text(text.replace(mutation.before, mutation.after), encoding="utf-8")
    tests = [f"tests/training/{mutation.test}" for mutation in mutations.values()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rf", "--tb=no", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == TESTS_FAILED, done.stdout + done.stderr
    failed = set(re.findall(r"^FAILED tests/training/([\w/.]+::\w+)", done.stdout, re.MULTILINE))
    return {name for name, mutation in mutations.items() if mutation.test in failed}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Mutations that their tests have seen."""
    copies = [tmp_path_factory.mktemp("mutated") for _ in groups()]
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        return set().union(*pool.map(seen, groups(), copies))


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_formula_is_seen_by_the_test_that_pins_it(mutation: str, found: set[str]) -> None:
    assert mutation in found
