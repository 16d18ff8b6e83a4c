from pathlib import Path

import numpy as np
import pytest

from hpo.errors import DataError
from hpo.export import Bundle, Predictions, predict_file, write_bundle
from hpo.training.bundles import load_bundle
from hpo.training.data.normalization import Normalization
from hpo.training.models import Mlp


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = write_bundle(
        tmp_path_factory.mktemp("bundles") / "rows",
        module=Mlp(hidden=(4,)).build((3,), num_classes=2),
        normalization=Normalization(mean=np.zeros(3, np.float32), std=np.ones(3, np.float32)),
        input_shape=(3,),
        num_classes=2,
        card={},
    )
    return load_bundle(folder)


def test_a_file_without_labels_is_predicted_and_not_measured(bundle: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((4, 3)))

    predictions = predict_file(bundle, tmp_path / "data.npz")

    np.testing.assert_allclose(np.exp(predictions.log_probs).sum(axis=1), np.ones(4), rtol=1e-6)
    assert predictions.accuracy is None
    assert predictions.nll is None


def test_a_file_with_labels_is_measured(bundle: Bundle, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    predicted = bundle.predict(x).argmax(axis=1)
    np.savez(tmp_path / "data.npz", x=x, y=np.concatenate([predicted[:3], 1 - predicted[3:]]))

    predictions = predict_file(bundle, tmp_path / "data.npz")

    assert predictions.accuracy == 0.5


def test_measures_follow_their_definitions() -> None:
    log_probs = np.log(np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]], np.float32))

    predictions = Predictions(log_probs=log_probs, labels=np.array([0, 1, 0]))

    assert predictions.classes.tolist() == [0, 0, 1]
    assert predictions.probabilities == pytest.approx([0.75, 0.5, 0.875])
    assert predictions.accuracy == pytest.approx(1 / 3)
    assert predictions.nll == pytest.approx(-np.log([0.75, 0.5, 0.125]).mean())


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"images": np.ones((2, 3))}, r"an array `x` must be there, but it holds \['images'\]"),
        ({"x": np.ones((0, 3))}, r"x must hold examples, but has shape \[0, 3\]"),
        (
            {"x": np.ones((2, 4))},
            r"data.npz: x must be numbers \[n, 3\], as in training, but is float64 of shape \[2, 4\]",
        ),
        ({"x": np.ones((2, 3)), "y": np.ones(2)}, r"y must be class indices \[2\], but is float64 of shape \[2\]"),
        (
            {"x": np.ones((2, 3)), "y": np.array([0, 2])},
            "y must lie in 0 to 1, the model's classes, but runs from 0 to 2",
        ),
    ],
    ids=["no x", "empty", "shape", "labels", "class"],
)
def test_a_file_that_does_not_fit_the_bundle_is_refused(
    arrays: dict[str, np.ndarray], rule: str, bundle: Bundle, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)

    with pytest.raises(DataError, match=rule):
        predict_file(bundle, tmp_path / "data.npz")
