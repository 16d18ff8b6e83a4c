"""Several networks as one model: against numpy's own mean of what they say one by one."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from hpo.cli import app
from hpo.errors import BundleError
from hpo.export import Bundle, Member, load_bundle, predict_file, write_ensemble
from hpo.export.inference import Inference, views
from hpo.training.bundles import read_weights
from hpo.training.data import Examples
from hpo.training.data.normalization import Normalization
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import split
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Mlp, Model, Resnet
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo

INPUT_SHAPE = (2, 8, 8)
NUM_CLASSES = 5
TEMPERATURE = 1.7
WEIGHTS = (2.0, 1.0, 1.0)
Doubles = npt.NDArray[np.float64]


def raw_inputs(num_examples: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(num_examples).normal(2, 3, (num_examples, *INPUT_SHAPE)).astype(np.float32)


def normalization(options: DataOptions) -> Normalization:
    examples = Examples(raw_inputs(300), np.arange(300) % NUM_CLASSES)
    return split(examples, validation=0.2, test=0.0, seed=0, options=options).normalization


PLAIN = normalization(DataOptions())
WHITENED = normalization(DataOptions(whiten="zca"))
RESIZED = normalization(DataOptions(image_size=6))


def member(model: Model, scale: Normalization, weight: float, inference: Inference | None = None) -> Member:
    """Its predictions are decided, and its norms far from the identity."""
    torch.manual_seed(1)
    inputs = torch.from_numpy(scale(raw_inputs(64)))
    module = model.build(tuple(inputs.shape[1:]), NUM_CLASSES)
    for _ in range(10):
        module(inputs)
    with torch.no_grad():
        last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
        last.weight.mul_(5)
    return Member(module=module, normalization=scale, weight=weight, inference=inference or Inference())


MEMBERS = [
    member(Mlp(hidden=(8,), norm="batch"), WHITENED, WEIGHTS[0]),
    member(Cnn(channels=(4,), hidden=8), PLAIN, WEIGHTS[1], Inference(tta="flip", fold_norms=True)),
    member(Resnet(width=4), RESIZED, WEIGHTS[2], Inference(fold_norms=True)),
]


def probabilities_of_each(x: npt.NDArray[np.float32]) -> Doubles:
    """[members, n, C], by the networks themselves, from raw inputs."""

    def mean_over_views(each: Member) -> Doubles:
        seen = views(torch.from_numpy(each.normalization(x)), each.inference.tta)
        with torch.inference_mode():
            found: Doubles = np.mean([each.module.eval()(view).double().softmax(1).numpy() for view in seen], axis=0)
        return found

    return np.stack([mean_over_views(each) for each in MEMBERS])


def entropy(probabilities: Doubles) -> Doubles:
    """[..., C] -> [...]."""
    found: Doubles = -(probabilities * np.log(probabilities)).sum(-1)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bundles") / "ensemble", MEMBERS, TEMPERATURE)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return load_bundle(folder)


def write(folder: Path, members: list[Member], temperature: float) -> Path:
    return write_ensemble(
        folder,
        members=members,
        temperature=temperature,
        input_shape=INPUT_SHAPE,
        num_classes=NUM_CLASSES,
        card={"members": [{"trial": 3}]},
        formats=("pt2",),
    )


@pytest.mark.parametrize("num_examples", [1, 3, 16, 37])
def test_an_ensemble_gives_the_tempered_mean_of_its_members_probabilities(num_examples: int, bundle: Bundle) -> None:
    x = raw_inputs(num_examples)

    outputs = bundle.outputs(x)

    pooled = np.average(probabilities_of_each(x), axis=0, weights=WEIGHTS)
    tempered = pooled ** (1 / TEMPERATURE)
    expected = tempered / tempered.sum(1, keepdims=True)
    np.testing.assert_allclose(outputs["log_probs"], np.log(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["entropy"], entropy(expected), rtol=1e-4, atol=1e-5)
    assert np.array_equal(bundle.predict(x), outputs["log_probs"])


def test_disagreement_is_the_entropy_of_the_mean_less_the_mean_entropy(bundle: Bundle) -> None:
    x = raw_inputs(37)

    disagreement = bundle.outputs(x)["disagreement"]

    of_each = probabilities_of_each(x)
    within = np.average(entropy(of_each), axis=0, weights=WEIGHTS)
    between = entropy(np.average(of_each, axis=0, weights=WEIGHTS)) - within
    np.testing.assert_allclose(disagreement, between, rtol=0, atol=1e-5)
    assert between.max() > 0.1


def test_members_that_say_the_same_do_not_disagree_and_say_it_together(tmp_path: Path) -> None:
    twice = [MEMBERS[1], MEMBERS[1]]
    x = raw_inputs(9)

    outputs = load_bundle(write(tmp_path / "twins", twice, 1.0)).outputs(x)

    np.testing.assert_allclose(np.exp(outputs["log_probs"]), probabilities_of_each(x)[1], rtol=1e-4, atol=1e-6)
    assert outputs["disagreement"].max() < 1e-6
    assert outputs["disagreement"].min() >= 0


def test_the_card_of_an_ensemble_names_its_outputs_and_is_not_for_those_who_know_of_one(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())

    assert card["outputs"] == ["log_probs", "entropy", "disagreement"]
    assert card["format_version"] == 2
    assert card["members"] == [{"trial": 3}]


def test_an_ensemble_has_no_weights_to_begin_from(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"ensemble: must hold one network, but holds an ensemble. Use the bundle of"):
        read_weights(folder)


@pytest.mark.parametrize(
    ("members", "temperature", "rule"),
    [
        ([], 1.0, "an ensemble must have members, but has none"),
        ([member(Mlp(hidden=(4,)), PLAIN, 0.0)], 1.0, "member 0: a weight must be a number above 0, but is 0.0"),
        ([member(Mlp(hidden=(4,)), PLAIN, float("nan"))], 1.0, "member 0: a weight must be a number above 0, but is n"),
        (MEMBERS, 0.0, "a temperature must be a number above 0, but is 0.0"),
    ],
    ids=["nobody", "no weight", "nan", "frozen"],
)
def test_what_is_no_ensemble_is_refused(members: list[Member], temperature: float, rule: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rule):
        write(tmp_path / "ensemble", members, temperature)

    assert list(tmp_path.iterdir()) == []


def test_members_of_other_classes_are_refused(tmp_path: Path) -> None:
    wide = Member(module=Mlp(hidden=(4,)).build(INPUT_SHAPE, 7), normalization=PLAIN)

    with pytest.raises(BundleError, match=r"must return logits \[1, 5\], but returned \[1, 7\]"):
        write(tmp_path / "ensemble", [wide], 1.0)


def test_predictions_of_a_file_say_how_much_an_ensemble_doubts(bundle: Bundle, tmp_path: Path) -> None:
    x = raw_inputs(6)
    np.savez(tmp_path / "data.npz", x=x)

    predictions = predict_file(bundle, tmp_path / "data.npz")

    expected = bundle.outputs(x)
    assert predictions.doubts.keys() == {"entropy", "disagreement"}
    assert all(np.array_equal(values, expected[name]) for name, values in predictions.doubts.items())


def test_the_command_that_predicts_tells_doubts_where_it_tells_all(
    folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    x = raw_inputs(6)
    np.savez(tmp_path / "data.npz", x=x)

    done = CliRunner().invoke(app, ["predict", f"{folder}", f"{tmp_path}/data.npz", "--json", "--out", f"{tmp_path}/o"])

    expected = bundle.outputs(x)
    said = json.loads(done.stdout)
    assert said["classes"] == expected["log_probs"].argmax(1).tolist()
    assert said["entropy"] == pytest.approx(expected["entropy"])
    assert said["disagreement"] == pytest.approx(expected["disagreement"])
    with np.load(tmp_path / "o") as written:
        assert all(np.array_equal(written[name], values) for name, values in expected.items())


def test_a_member_that_was_trained_in_bfloat16_predicts_in_float32(tmp_path: Path) -> None:
    x = torch.from_numpy(PLAIN(raw_inputs(32)))
    y = torch.arange(32) % NUM_CLASSES
    data = TrainingData(train_x=x, train_y=y, validation_x=x, validation_y=y, num_classes=NUM_CLASSES)
    recipe = Recipe(model=Cnn(channels=(4,), hidden=8), precision="bfloat16", batch_size=32, epochs=1)
    solo = Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0))
    solo.train_epoch(1)
    module = recipe.model.build(INPUT_SHAPE, NUM_CLASSES)
    module.load_state_dict(solo.state(0, 1).module)

    folder = write(tmp_path / "ensemble", [Member(module=module, normalization=PLAIN)], 1.0)

    with torch.inference_mode():
        expected = module.eval()(x).log_softmax(1)
    np.testing.assert_allclose(load_bundle(folder).predict(raw_inputs(32)), expected, rtol=0, atol=1e-5)
