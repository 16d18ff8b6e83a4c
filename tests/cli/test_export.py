"""`hpo export`, with what it does to a model."""

import json
from pathlib import Path

import numpy as np

from hpo.export import load_bundle
from tests.cli.conftest import SWEEP, Hpo


def test_export_averages_over_views_when_asked(hpo: Hpo, tmp_path: Path, examples: Path) -> None:
    hpo("export", "small", tmp_path / "plain")
    done = hpo("export", "small", tmp_path / "flipped", "--tta", "flip")

    x = np.load(examples)["x"]
    plain = load_bundle(tmp_path / "plain")
    expected = (np.exp(plain.predict(x)) + np.exp(plain.predict(x[..., ::-1]))) / 2
    card = json.loads((tmp_path / "flipped" / "card.json").read_text())
    assert done.exit_code == 0
    np.testing.assert_allclose(np.exp(load_bundle(tmp_path / "flipped").predict(x)), expected, rtol=0, atol=1e-6)
    assert (card["inference"]["tta"], card["inference"]["num_folded_norms"]) == ("flip", 0)
    assert card["inference"]["without"]["val_accuracy"] == card["metrics"]["val_accuracy"]


def test_export_with_norms_to_fold_where_there_are_none_says_so_in_the_card(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("export", "small", tmp_path / "bundle", "--fold-norms")

    card = json.loads((tmp_path / "bundle" / "card.json").read_text())
    assert done.exit_code == 0
    assert card["inference"]["num_folded_norms"] == 0


def test_export_says_how_many_norms_were_folded_and_that_weights_are_averaged(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "normed.yaml").write_text(SWEEP)
    norms = ("-s", "model={kind: mlp, hidden: [8, 8], norm: batch, norm_position: after}", "-s", "ema_half_life=1")
    short = ("-s", "name=normed", "-s", "epochs=2", "-s", "budget.trials=1", "-s", f"storage.checkpoints={tmp_path}")
    hpo("run", tmp_path / "normed.yaml", *norms, *short)

    done = hpo("export", "normed", tmp_path / "b", "--fold-norms", "--weights", "averaged", "--runs", tmp_path)

    said = [f"{tmp_path / 'b'}: the model of trial 0, with averaged weights", "folded 0 of 2 batch norms"]
    assert done.stdout.splitlines() == said


def test_averaged_weights_of_a_trial_that_keeps_none_are_refused(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("export", "small/3", tmp_path / "bundle", "--weights", "averaged")

    assert done.exit_code == 1
    assert done.stderr == (
        "error: trial 3 must keep an average of weights for it to be exported, but its ema_half_life and swa_start "
        "are 0. Export its raw weights (--weights raw), or another trial.\n"
    )
    assert not (tmp_path / "bundle").exists()


def test_unknown_views_are_a_matter_of_usage(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("export", "small", tmp_path / "bundle", "--tta", "rotate")

    assert done.exit_code == 2
    assert "flip_translate" in done.stderr
