import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hpo.errors import BundleError
from hpo.export import load_bundle, write_bundle
from hpo.export.inference import Inference, Tta, views
from hpo.export.trial import export_trial
from hpo.records import Report, TrialRecord
from hpo.training.checkpoint import write_checkpoint
from hpo.training.data import Examples, Splits
from hpo.training.data.normalization import Normalization
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import split
from hpo.training.models import Cnn, Mlp
from hpo.training.recipe import Recipe
from hpo.training.state import TrialState

IMAGE = torch.tensor([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])


def as_rows(view: torch.Tensor) -> list[list[float]]:
    return [list(row) for row in view[0, 0].tolist()]


def test_flip_shows_an_image_as_it_is_and_mirrored() -> None:
    seen = views(IMAGE, "flip")

    assert [as_rows(view) for view in seen] == [as_rows(IMAGE), as_rows(torch.flip(IMAGE, [3]))]


def test_flip_translate_shows_an_image_in_three_places_each_mirrored_too() -> None:
    seen = views(IMAGE, "flip_translate")

    places = [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[5, 4, 5], [2, 1, 2], [5, 4, 5]],
        [[5, 6, 5], [8, 9, 8], [5, 6, 5]],
    ]
    assert [as_rows(view) for view in seen] == [
        rows for place in places for rows in (place, [row[::-1] for row in place])
    ]


def test_shifts_of_larger_images_move_every_pixel_by_one() -> None:
    images = torch.arange(2 * 3 * 5 * 4.0).view(2, 3, 5, 4)

    _, _, down_right, _, up_left, _ = views(images, "flip_translate")

    assert torch.equal(down_right[:, :, 1:, 1:], images[:, :, :-1, :-1])
    assert torch.equal(up_left[:, :, :-1, :-1], images[:, :, 1:, 1:])


@pytest.mark.parametrize("tta", ["flip", "flip_translate"])
def test_the_exported_model_averages_the_probabilities_of_the_views(tta: Tta, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Cnn(channels=(4,), hidden=8).build((2, 6, 6), num_classes=5)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(3)  # so that a mean of logits would differ

    folder = write_bundle(
        tmp_path / "best",
        module=module,
        normalization=Normalization(mean=np.zeros(1, np.float32), std=np.ones(1, np.float32)),
        input_shape=(2, 6, 6),
        num_classes=5,
        card={},
        inference=Inference(tta=tta),
    )

    x = torch.randn(7, 2, 6, 6)
    with torch.inference_mode():
        expected = torch.stack([module.eval()(view).softmax(1) for view in views(x, tta)]).mean(0)
    bundle = load_bundle(folder)
    np.testing.assert_allclose(np.exp(bundle.predict(x.numpy())), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(bundle.predict(x.numpy()[:1]), expected[:1].log(), rtol=1e-4, atol=1e-5)


def test_improbable_classes_keep_finite_log_probabilities() -> None:
    logits = torch.tensor([[0.0, -300.0]])

    log_probs = Inference(tta="flip").log_probs(lambda x: logits.expand(len(x), -1), torch.zeros(1, 1, 2, 2))

    torch.testing.assert_close(log_probs, logits)


@pytest.fixture
def splits() -> Splits:
    generator = np.random.default_rng(0)
    x = generator.normal(2, 3, (120, 2, 6, 6)).astype(np.float32)
    return split(Examples(x, generator.integers(0, 5, 120)), validation=0.5, test=0.0, seed=0)


def make_trial(folder: Path, model: Cnn | Mlp, splits: Splits) -> tuple[TrialRecord, Recipe]:
    torch.manual_seed(0)
    module = model.build(splits.input_shape, splits.num_classes)
    for _ in range(3):
        module(torch.from_numpy(splits.train.x))
    path = folder / "trial.safetensors"
    write_checkpoint(path, TrialState(epoch=3, module=dict(module.state_dict()), optimizer={}))
    return TrialRecord(
        trial_id=7, params={}, kept=Report(trial_id=7, epoch=3, metrics={}, checkpoint=str(path))
    ), Recipe(model=model)


def measure(bundle: Path, splits: Splits) -> dict[str, float]:
    """By the file itself, from raw inputs."""
    raw = splits.validation.x * splits.normalization.std + splits.normalization.mean
    log_probs = load_bundle(bundle).predict(raw)
    labels = splits.validation.y
    return {
        "val_loss": -float(log_probs[np.arange(len(labels)), labels].mean()),
        "val_accuracy": float((log_probs.argmax(1) == labels).mean()),
    }


def test_the_card_holds_what_the_exported_model_scores_with_its_changes_and_without(
    tmp_path: Path, splits: Splits
) -> None:
    trial, recipe = make_trial(tmp_path, Cnn(channels=(4,), hidden=8), splits)

    plain = export_trial(tmp_path / "plain", trial, recipe, splits, {})
    changed = export_trial(
        tmp_path / "changed", trial, recipe, splits, {}, Inference(tta="flip_translate", fold_norms=True)
    )

    said = json.loads((changed / "card.json").read_text())["inference"]
    assert (said.pop("tta"), said.pop("fold_norms")) == ("flip_translate", True)
    assert (said.pop("num_norms"), said.pop("num_folded_norms")) == (1, 1)
    assert said.pop("without") == pytest.approx(measure(plain, splits), abs=1e-5)
    assert said == pytest.approx(measure(changed, splits), abs=1e-5)
    assert said != pytest.approx(measure(plain, splits), abs=1e-3)


def test_a_model_exported_as_it_was_trained_has_a_card_without_more_words(tmp_path: Path, splits: Splits) -> None:
    trial, recipe = make_trial(tmp_path, Mlp(hidden=(4,)), splits)

    folder = export_trial(tmp_path / "best", trial, recipe, splits, {})

    assert "inference" not in json.loads((folder / "card.json").read_text())


def test_views_of_what_is_no_image_are_refused_before_anything_is_written(tmp_path: Path, splits: Splits) -> None:
    raw = Examples(splits.train.x, splits.train.y)
    rows = split(raw, validation=0.5, test=0.0, seed=0, options=DataOptions(whiten="pca", pca_dim=9))
    trial, recipe = make_trial(tmp_path, Mlp(hidden=(4,)), rows)

    with pytest.raises(BundleError) as caught:
        export_trial(tmp_path / "best", trial, recipe, rows, {}, Inference(tta="flip"))

    assert str(caught.value) == (
        "tta: flip needs images [channels, height, width] of at least 1 x 1, but the network takes shape [9]. "
        "Set tta to none."
    )
    assert not (tmp_path / "best").exists()


def test_an_image_of_one_row_can_be_mirrored_but_not_shifted() -> None:
    Inference(tta="flip").check((3, 1, 8))

    with pytest.raises(ValueError, match=r"flip_translate needs images \[channels, height, width\] of at least 2 x 2"):
        Inference(tta="flip_translate").check((3, 1, 8))
