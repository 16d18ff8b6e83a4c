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
