"""`export` in a sweep file: what it says, and what is refused."""

from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.export.inference import Inference
from hpo.sweep import Sweep, check_data, dump_resolved, load_sweep

SWEEP = """\
data: {kind: digits}
model: {kind: cnn}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""
FOLD = "export: {fold_norms: true}\n"


def load(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return load_sweep(path)


def problems(caught: pytest.ExceptionInfo[SweepError]) -> list[tuple[str, str]]:
    return [(problem.key, problem.message) for problem in caught.value.problems]


def test_a_sweep_says_how_its_models_predict_once_exported(tmp_path: Path) -> None:
    sweep = load(tmp_path, SWEEP + "export: {tta: flip_translate, fold_norms: true}\n")

    assert sweep.export.inference == Inference(tta="flip_translate", fold_norms=True)
    assert load(tmp_path, dump_resolved(sweep)) == sweep


def test_a_resolved_file_leaves_out_what_would_be_refused_in_it(tmp_path: Path) -> None:
    sweep = load(tmp_path, SWEEP.replace("kind: cnn", "kind: mlp") + "export: {fold_norms: false}\n")

    assert load(tmp_path, dump_resolved(sweep)) == sweep


def test_folding_is_refused_where_no_trial_has_a_batch_norm(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SWEEP.replace("kind: cnn", "kind: cnn, norm: group") + FOLD)

    assert problems(caught) == [
        (
            "export.fold_norms",
            ("has no effect, because model.norm is group and model.kind is cnn. Delete it, or change one of these."),
        )
    ]


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("kind: cnn, norm: none", "  model.norm: choice(none, batch)\n"),
        ("kind: mlp", "  model.kind: choice(mlp, resnet)\n"),
        ("kind: custom, factory: 'nets:make'", ""),
    ],
)
def test_folding_is_for_any_sweep_that_may_try_batch_norms(tmp_path: Path, model: str, space: str) -> None:
    sweep = load(tmp_path, SWEEP.replace("kind: cnn", model) + space + FOLD)

    assert sweep.export.fold_norms


def test_views_are_refused_before_any_trial_where_the_data_are_no_images(tmp_path: Path) -> None:
    rows = SWEEP.replace("{kind: digits}", "{kind: digits, whiten: pca}").replace("kind: cnn", "kind: mlp")
    sweep = load(tmp_path, rows + "export: {tta: flip}\n")

    with pytest.raises(SweepError) as caught:
        check_data(sweep, sweep.data.load(sweep.seed))

    assert problems(caught) == [
        (
            "export.tta",
            (
                "flip needs images [channels, height, width] of at least 1 x 1, but the network takes shape [64]. "
                "Set tta to none."
            ),
        )
    ]


AVERAGED = "export: {weights: averaged}\n"


def test_averaged_weights_are_refused_where_no_trial_keeps_an_average(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SWEEP + AVERAGED)

    message = "has no effect, because ema_half_life is 0.0 and swa_start is 0.0. Delete it, or change one of these."
    assert problems(caught) == [("export.weights", message)]


@pytest.mark.parametrize("path", ["ema_half_life", "swa_start"])
def test_averaged_weights_are_refused_where_some_trials_keep_no_average(tmp_path: Path, path: str) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SWEEP + f"  {path}: choice(0, 0.5)\n" + AVERAGED)

    message = (
        f"must be raw where some trials keep no average of weights, but got averaged, and {path} may be 0. "
        "Set it to raw, or take the 0 out of the space."
    )
    assert problems(caught) == [("export.weights", message)]


@pytest.mark.parametrize(
    "average", ["  swa_start: uniform(0.5, 0.8)\n", "  ema_half_life: choice(1, 2)\n", "ema_half_life: 1\n"]
)
def test_averaged_weights_are_for_sweeps_of_which_every_trial_keeps_an_average(tmp_path: Path, average: str) -> None:
    sweep = load(tmp_path, SWEEP + average + AVERAGED)

    assert sweep.export.weights == "averaged"
    assert load(tmp_path, dump_resolved(sweep)) == sweep


ONNX = "export: {formats: [pt2, onnx]}\n"


def test_a_model_is_registered_only_where_mlflow_is(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SWEEP + "tracking: none\nexport: {formats: [pt2, onnx], register_as: digits}\n")

    message = "has no effect, because tracking is none. Delete it."
    assert problems(caught) == [("export.register_as", message)]


def test_a_name_of_a_model_holds_no_alias(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SWEEP + "export: {formats: [pt2, onnx], register_as: digits@best}\n")

    message = 'must be 1 to 200 characters without /, : and @, but got "digits@best".'
    assert problems(caught) == [("export.register_as", message)]


def test_formats_are_kept_in_a_resolved_file(tmp_path: Path) -> None:
    sweep = load(tmp_path, SWEEP + "export: {formats: [pt2, onnx], register_as: digits}\n")

    assert sweep.export.formats == ("pt2", "onnx")
    assert load(tmp_path, dump_resolved(sweep)) == sweep


def test_onnx_without_its_libraries_is_refused_before_any_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = load(tmp_path, SWEEP + ONNX)
    monkeypatch.setattr("hpo.export.onnx.find_spec", lambda name: None)

    with pytest.raises(SweepError) as caught:
        check_data(sweep, sweep.data.load(0))

    [(key, message)] = problems(caught)
    assert key == "export.formats"
    assert message.startswith(
        "model.onnx needs onnx, onnxscript, onnxruntime, but onnx, onnxscript, onnxruntime cannot"
    )
