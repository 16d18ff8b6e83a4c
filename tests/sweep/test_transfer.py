"""Sweep files that begin from exported models: paths, contradictions, and what does not fit the data."""

from pathlib import Path

import numpy as np
import pytest

from hpo.errors import SweepError
from hpo.export import write_bundle
from hpo.sweep import Sweep, check_data, dump_resolved, load_sweep
from hpo.training.data import Splits
from hpo.training.initializers import Pretrained
from hpo.training.models import Mlp

SWEEP = """\
data: {kind: digits}
model: {kind: mlp, hidden: [16, 8]}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""
DISTILLED = "loss: {kind: distillation, teacher: bundles/digits}\n"
PRETRAINED = "initializer: {kind: pretrained, bundle: bundles/digits}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a sweep file, with a bundle beside it."""
    folder = tmp_path_factory.mktemp("sweeps")
    np.savez(folder / "other.npz", x=np.eye(4).repeat(50, 0), y=np.arange(200) % 2)
    splits = load_digits(folder)
    module = Mlp(hidden=(16, 8)).build(splits.input_shape, 10)
    write_bundle(
        folder / "bundles" / "digits",
        module=module,
        normalization=splits.normalization,
        input_shape=splits.raw_shape,
        num_classes=10,
        card={},
    )
    return folder


def load_digits(folder: Path) -> Splits:
    return load_sweep(write(folder, SWEEP)).data.load(seed=0)


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


def check(folder: Path, text: str) -> Sweep:
    sweep = load_sweep(write(folder, text))
    check_data(sweep, sweep.data.load(sweep.seed))
    return sweep


def refusal(folder: Path, text: str) -> str:
    """What is said of a sweep file when it is loaded, or when its data are."""
    with pytest.raises(SweepError) as caught:
        check(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_bundle_is_found_beside_the_sweep_file_and_resolved_to_an_absolute_path(folder: Path) -> None:
    sweep = check(folder, SWEEP + PRETRAINED)

    assert sweep.initializer == Pretrained(bundle=folder / "bundles" / "digits")
    assert f"bundle: {folder}/bundles/digits" in dump_resolved(sweep)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SWEEP + PRETRAINED.replace("bundles/digits", "nowhere"),
            "sweep sweep: initializer.bundle: nowhere: no such folder. `hpo export` writes one.",
        ),
        (
            (SWEEP + PRETRAINED).replace("[16, 8]", "[16, 16]"),
            (
                "sweep sweep: initializer.bundle: all tensors of bundles/digits but the head's must fit the network, "
                "but 3.weight is [8, 16] there and [16, 16] here, 3.bias is [8] there and [16] here. "
                "It must hold the same network, for inputs of the same size, with no norms folded: see its card.json."
            ),
        ),
        (
            SWEEP + "  model.hidden: choice([16, 8], [16, 16])\n" + PRETRAINED,
            (
                "sweep sweep: space.model.hidden: all tensors of bundles/digits but the head's must fit the network, "
                "but 3.weight is [8, 16] there and [16, 16] here, 3.bias is [8] there and [16] here. "
                "It must hold the same network, for inputs of the same size, with no norms folded: see its card.json."
            ),
        ),
        (
            SWEEP + PRETRAINED.replace("}", ", output_bias: log_prior}"),
            (
                "sweep.yaml:6: initializer: output_bias: log_prior overwrites the bias of a head that is kept. "
                "Delete it, or set head: new."
            ),
        ),
        (
            SWEEP + "  initializer.bundle: choice(a, b)\n" + PRETRAINED,
            (
                "sweep.yaml:6: space.initializer.bundle: must not be searched, for it is a folder. "
                "Drop it, and set initializer.bundle in the recipe."
            ),
        ),
        (
            SWEEP + "frozen_layers: 3\n",
            (
                "sweep sweep: frozen_layers: must leave one of the network's 3 layers with weights to learn, "
                "but got 3. Lower it."
            ),
        ),
        (
            SWEEP + "  frozen_layers: randint(0, 3)\n",
            (
                "sweep sweep: space.frozen_layers: must leave one of the network's 3 layers with weights to learn, "
                "but got 3. Lower it."
            ),
        ),
        (
            SWEEP + "frozen_norms: true\n",
            "sweep.yaml:6: frozen_norms: has no effect, because frozen_layers is 0. Delete it, or change that.",
        ),
        (
            SWEEP + "frozen_norms: true\nfrozen_layers: 1\n",
            "sweep sweep: frozen_norms: has no effect: no frozen layer has a batch norm. Delete it.",
        ),
        (
            SWEEP + DISTILLED.replace("bundles/digits", "nowhere"),
            "sweep sweep: loss.teacher: nowhere: no such folder. `hpo export` writes one.",
        ),
        (
            SWEEP.replace("digits", "npz, path: other.npz") + DISTILLED,
            (
                "sweep sweep: loss.teacher: bundles/digits: must take inputs [4] and know 2 classes, as the data "
                "have, but takes [1, 8, 8] and knows 10. Use a teacher that was trained on such data."
            ),
        ),
        (
            SWEEP.replace("digits", "digits, whiten: pca, pca_dim: 20") + DISTILLED,
            (
                "sweep sweep: loss.teacher: inputs as they came cannot be had back from 20 of 64 components. "
                "Set data.pca_dim: 0, or data.whiten: none."
            ),
        ),
        (
            SWEEP.replace("digits}", "digits, shuffle_labels: true}")
            + "  loss.kind: choice(cross_entropy, distillation)\n"
            + DISTILLED,
            (
                "sweep.yaml:1: data.shuffle_labels: must be false with loss.kind distillation, whose teacher has not "
                "seen the labels shuffled: the control would not stay at chance. Set it to false, or use another loss."
            ),
        ),
        (
            SWEEP + DISTILLED.replace("}", ", alpha: 0}"),
            "sweep.yaml:6: loss.teacher: has no effect, because loss.alpha is 0.0. Delete it, or change that.",
        ),
        (
            SWEEP + DISTILLED.replace("}", ", alpha: 1, label_smoothing: 0.1}"),
            "sweep.yaml:6: loss.label_smoothing: has no effect, because loss.alpha is 1.0. Delete it, or change that.",
        ),
        (
            SWEEP + "loss: {kind: distillation}\n",
            "sweep.yaml:6: loss.teacher: is required, but is missing. Add it.",
        ),
        (
            SWEEP + "  loss.kind: choice(cross_entropy, distillation)\n",
            (
                "sweep.yaml:6: space.loss.kind: every kind must do without more settings, but distillation needs "
                "teacher. Drop it here."
            ),
        ),
        (
            SWEEP + "  augmentation.mix: choice(none, mixup)\n" + DISTILLED,
            (
                "sweep.yaml:6: space.augmentation.mix: every value must fit the rest of the recipe, but with mixup: "
                "loss.kind distillation needs augmentation.mix: none, for its teacher says nothing of mixed examples, "
                "but got mix: mixup. Change one of them."
            ),
        ),
    ],
)
def test_what_cannot_be_begun_from_is_refused(text: str, message: str, folder: Path) -> None:
    assert refusal(folder, text) == message


@pytest.mark.parametrize(
    "lines",
    [
        "frozen_layers: 2\nfrozen_norms: true\n",
        "  frozen_layers: randint(0, 2)\nfrozen_norms: true\n",
        "  initializer.kind: choice(kaiming_normal, pretrained)\n" + PRETRAINED,
        "  model.dropout: choice(0.0, 0.5)\n" + PRETRAINED,
        "frozen_norms: false\n",
        DISTILLED,
        DISTILLED.replace("}", ", alpha: 1, label_smoothing: 0}"),
        "  loss.alpha: uniform(0, 1)\n  loss.temperature: loguniform(1, 8)\n" + DISTILLED,
        "  loss.kind: choice(cross_entropy, distillation)\n" + DISTILLED,
    ],
)
def test_what_may_be_frozen_and_begun_from_loads_again(lines: str, folder: Path) -> None:
    model = "mlp" if "bundle" in lines else "mlp, norm: batch"

    sweep = check(folder, SWEEP.replace("kind: mlp", f"kind: {model}") + lines)

    assert load_sweep(write(folder, dump_resolved(sweep))) == sweep
