"""Every command that needs no cluster, as a user types it."""

import csv
import io
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from hpo.cli.panels import PANELS
from tests.cli.conftest import Hpo


def test_help_needs_neither_torch_nor_ray() -> None:
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from hpo.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = ('torch', 'ray', 'optuna', 'mlflow', 'pandas', 'numpy', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_help_lists_every_command(hpo: Hpo) -> None:
    said = hpo("--help").output

    deciding = ("check", "preflight", "lr-range", "schema", "docs", "run")
    reading = ("trials", "trial", "rungs", "best", "export", "prune", "predict", "doctor", "ui", "ls", "status")
    for command in (*deciding, *reading, "report", "analyze", "ensemble", "finalize"):
        assert f" {command} " in said


def test_help_has_a_panel_for_every_command_in_the_order_of_a_sweep(hpo: Hpo) -> None:
    said = hpo("--help").output

    shown = [line.split()[1] for line in said.splitlines() if line.startswith("\u2502 ") and line[2].isalpha()]
    assert shown == [command for commands in PANELS.values() for command in commands]
    assert all(heading in said for heading in PANELS)
    assert " Commands " not in said


def test_the_version_is_told(hpo: Hpo) -> None:
    assert hpo("--version").output == f"hpo {metadata.version('hpo')}\n"


@pytest.mark.parametrize("command", ["status", "doctor", "ui"])
def test_an_id_that_may_be_left_out_stands_in_brackets(hpo: Hpo, command: str) -> None:
    assert f"Usage: hpo {command} [OPTIONS] [ID] " in hpo(command, "--help").output


def test_what_cannot_be_written_is_told(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = hpo("docs", "--out", str(tmp_path / "file" / "methods.md"))

    assert done.exit_code == 1
    assert "methods.md: must be a file that can be written, but [Errno" in done.stderr
    assert "Name another with --out." in done.stderr


def test_an_unknown_command_is_a_matter_of_usage(hpo: Hpo) -> None:
    assert hpo("chekc").exit_code == 2


def test_check_shows_the_space_and_what_it_will_cost(hpo: Hpo) -> None:
    done = hpo("check", "small.yaml")

    lines = [line.rstrip() for line in done.output.splitlines()]
    assert done.exit_code == 0
    assert lines[0] == "small is valid"
    assert "optimizer.lr      loguniform(0.001, 1)                 0.1" in lines
    assert "initializer.kind  choice(kaiming_uniform, orthogonal)  kaiming_normal" in lines
    assert "sampler    tpe" in lines
    assert "scheduler  asha" in lines
    assert "data       1079 train, 359 validate, 359 kept back" in lines
    assert "trials     8 to epoch 1, 4 to epoch 2, 2 to epoch 4" in lines


def test_check_shows_what_the_base_recipe_is_in_effective_coordinates(hpo: Hpo) -> None:
    done = hpo("check", "small.yaml", "-s", "space={effective.lr: 'loguniform(1e-3, 1e-2)'}")

    assert "effective.lr  loguniform(0.001, 0.01)  0.0156" in done.output  # 0.1 / (64 * (1 - 0.9))


def test_check_shows_the_ladder_of_each_bracket(hpo: Hpo) -> None:
    settings = ("-s", "scheduler={kind: hyperband, eta: 2}")

    shown = hpo("check", "small.yaml", *settings).output
    plan = json.loads(hpo("check", "small.yaml", *settings, "--json").stdout)

    lines = [line.rstrip() for line in shown.splitlines()]
    # the rates warm up in the first of 4 epochs, so that the first rung is the second; n = ceil(2 * 2 / 2) and 2
    assert "bracket 1  4 to epoch 2, 2 to epoch 4" in lines
    assert "bracket 2  4 to epoch 4" in lines
    assert plan["rungs"] == {"2": 4, "4": 6}
    assert plan["brackets"] == [{"2": 4, "4": 2}, {"4": 4}]


def test_check_as_json(hpo: Hpo) -> None:
    plan = json.loads(hpo("check", "small.yaml", "--json").stdout)

    assert plan["space"]["optimizer.lr"] == {"distribution": "loguniform", "min": 0.001, "max": 1.0}
    assert plan["rungs"] == {"1": 8, "2": 4, "4": 2}
    assert (plan["num_train"], plan["num_validation"], plan["num_test"]) == (1079, 359, 359)
    assert plan["training_s"] > 0


def test_check_and_run_give_advice_and_go_on(hpo: Hpo, tmp_path: Path) -> None:
    settings = ["-s", "model.norm=batch", "-s", "batch_size=12", "-s", f"storage.checkpoints={tmp_path}"]

    checked, ran = hpo("check", "small.yaml", *settings), hpo("run", "small.yaml", *settings, "-s", "budget.trials=2")

    advised = "advice: batch_size: should be at least 16 with model.norm: batch"
    assert (checked.exit_code, ran.exit_code) == (0, 0)
    assert checked.stdout.splitlines()[-1].startswith(advised)
    assert ran.stderr.startswith(advised)
    advice = json.loads(hpo("check", "small.yaml", *settings, "--json").stdout)["advice"]
    assert [f"advice: {text}" for text in advice] == [checked.stdout.splitlines()[-1]]


def test_check_takes_settings_from_the_command_line(hpo: Hpo) -> None:
    plan = json.loads(hpo("check", "small.yaml", "-s", "budget.trials=4", "--set", "data.test=0", "--json").stdout)

    assert plan["rungs"]["1"] == 4
    assert plan["num_test"] == 0


def test_every_mistake_is_told_with_its_line_key_and_remedy(hpo: Hpo, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "data: {kind: digits}\n"
        "model: {kind: mlp, hiden: [4]}\n"
        "metric: {name: val_accuracy, goal: maximize}\n"
        "space: {optimizer.lr: 'loguniform(1, 1e-3)'}\n"
    )

    done = hpo("check", file)

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == f"{file}: 2 mistakes"
    assert "\n  line 2  model.hiden\n    " in done.stderr
    assert "Did you mean `hidden`?" in done.stderr
    assert "\n  line 4  space.optimizer.lr\n    `min < max` must hold, but got min=1, max=0.001." in done.stderr


def test_lr_range_says_which_rates_to_search_and_writes_the_curve(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("lr-range", "small.yaml", "--out", tmp_path / "curve")
    found = json.loads(hpo("lr-range", "small.yaml", "--out", tmp_path / "curve", "--json").stdout)

    low, high = found["bounds"]
    assert f"to search       optimizer.lr: loguniform({low:.2g}, {high:.2g})" in done.output
    assert low == min(found["steepest"], found["tenth_of_largest"]) / 10
    assert high == found["largest_stable"]
    assert {path.name for path in (tmp_path / "curve").iterdir()} == {"curve.csv", "curve.png"}


def test_lr_range_of_a_recipe_that_learns_nothing_is_an_error_that_leaves_the_table(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("lr-range", "small.yaml", "--out", tmp_path / "curve", "-s", "lr_range={max: 1e-5}")

    assert done.exit_code == 1
    assert "error: the loss must fall by 5%" in done.output
    assert {path.name for path in (tmp_path / "curve").iterdir()} == {"curve.csv"}


def test_schema_is_json_and_names_the_sections(hpo: Hpo) -> None:
    schema = json.loads(hpo("schema").stdout)

    assert {"data", "model", "metric", "space"} <= set(schema["else"]["properties"])


def test_run_prints_lines_and_then_the_winner(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("run", "small.yaml", "-s", f"storage.checkpoints={tmp_path}")

    [sweep_id] = [path.name for path in tmp_path.iterdir()]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert "trials 8/8" in done.stdout
    assert [sweep_id, "finished", "after"] in [line[:3] for line in lines]
    assert ["best", "val_accuracy"] in [line[:2] for line in lines]
    assert ["trials", "hpo", "trials", sweep_id] in lines
    assert ["rungs", "epoch", "1:"] in [line[:3] for line in lines]
    assert ["model", str(tmp_path / sweep_id / "best")] in lines


def test_run_as_json_keeps_stdout_for_the_result(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("run", "small.yaml", "-s", f"storage.checkpoints={tmp_path}", "--json")

    result = json.loads(done.stdout)
    assert (result["status"], sum(result["ends"].values())) == ("finished", 8)
    assert result["best"]["value"] == result["best"]["values"]["4"]
    assert "trials 8/8" in done.stderr


def test_a_sweep_without_a_result_exits_with_3(hpo: Hpo, tmp_path: Path) -> None:
    settings = ["space={optimizer.lr: 'loguniform(1e30, 1e31)'}", "budget.trials=2", f"storage.checkpoints={tmp_path}"]

    done = hpo("run", "small.yaml", *(part for setting in settings for part in ("-s", setting)))

    assert done.exit_code == 3
    assert "trials: 2 diverged" in done.stdout


def test_the_table_of_trials_is_whole_in_a_pipe(hpo: Hpo) -> None:
    lines = hpo("trials", "small").stdout.splitlines()

    assert lines[0].split() == ["#", "trial", "end", "epoch", "value", "initializer", "lr"]
    assert len(lines) == 9
    assert lines[1].split()[2:4] == ["complete", "4"]
    assert {line.split()[5] for line in lines[1:]} == {"kaiming_uniform", "orthogonal"}


def test_top_shows_the_best_only(hpo: Hpo) -> None:
    assert len(hpo("trials", "small", "--top", "2").stdout.splitlines()) == 3
    assert len(json.loads(hpo("trials", "small", "--top", "2", "--json").stdout)) == 2


def test_trials_as_json_and_csv_hold_every_digit_and_metric(hpo: Hpo) -> None:
    as_json = json.loads(hpo("trials", "small", "--json").stdout)
    as_csv = list(csv.DictReader(io.StringIO(hpo("trials", "small", "--csv").stdout)))

    assert [row["rank"] for row in as_json] == list(range(1, 9))
    assert {"val_loss", "samples_per_second"} <= as_json[0]["metrics"].keys()
    for row, cells in zip(as_json, as_csv, strict=True):
        assert float(cells["optimizer.lr"]) == row["params"]["optimizer.lr"]
        assert float(cells["val_loss"]) == row["metrics"]["val_loss"]


def test_trials_are_asked_for_in_one_form(hpo: Hpo) -> None:
    done = hpo("trials", "small", "--json", "--csv")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "--json and --csv contradict each other: drop one" in done.output


@pytest.mark.parametrize("command", ["best", "trials", "status", "rungs", "check"])
def test_no_line_ends_in_blanks_in_a_pipe(hpo: Hpo, command: str) -> None:
    lines = hpo(command, "small.yaml" if command == "check" else "small").stdout.splitlines()

    assert len(lines) > 2
    assert [line for line in lines if line != line.rstrip()] == []


def test_what_has_ended_cannot_be_cancelled(hpo: Hpo, sweep_id: str) -> None:
    done = hpo("cancel", "small")

    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {sweep_id}: must not have ended to be cancelled, but has: all trials are through. Leave it so.\n"
    )
    assert json.loads(hpo("status", "small", "--json").stdout)["state"] == "finished"


def test_an_unknown_sweep_is_told_with_those_there_are(hpo: Hpo, sweep_id: str) -> None:
    done = hpo("trials", "nope")

    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: no sweep begins with 'nope' under runs. There: {sweep_id}. See hpo ls, or")


def test_best_shows_the_winner(hpo: Hpo, sweep_id: str) -> None:
    winner = json.loads(hpo("trials", "small", "--top", "1", "--json").stdout)[0]

    done = hpo("best", "small")

    assert done.stdout.splitlines()[0] == f"{sweep_id}/{winner['trial']}"
    assert f"optimizer.lr      {winner['params']['optimizer.lr']}" in done.stdout
    assert json.loads(hpo("best", "small", "--json").stdout)["metrics"] == winner["metrics"]


def test_a_trial_shows_its_curve_and_why_it_was_stopped(hpo: Hpo) -> None:
    rows = json.loads(hpo("trials", "small", "--json").stdout)
    stopped = next(row for row in rows if row["end"] == "stopped" and row["epoch"] == 2)

    said = hpo("trial", f"small/{stopped['trial']}").stdout

    reason = stopped["reason"]
    assert f"At epoch 2 it was number {reason['rank']} of the {reason['num_seen']} that had come so far" in said
    assert f"epoch 2  {stopped['value']:.4f}" in said
    assert "epoch 3" not in said


def test_a_trial_shows_what_was_decided_at_its_rungs(hpo: Hpo) -> None:
    row = json.loads(hpo("best", "small", "--json").stdout)
    [first, second] = row["decisions"]

    said = hpo("best", "small").stdout

    lines = [line.split() for line in said.splitlines()]
    rank = f"{second['rank']} of {second['num_seen']}".split()
    assert ["rungs", "epoch", "value", "cutoff", "rank", "decided"] in lines
    assert ["2", f"{second['value']:.4f}", f"{second['cutoff']:.4f}", *rank, "goes", "on"] in lines
    assert (first["rung"], first["outcome"], first["value"]) == (1, "continues", row["values"]["1"])


def test_rungs_say_whom_they_stopped_and_how_right_that_was(hpo: Hpo) -> None:
    rows = json.loads(hpo("rungs", "small", "--top", "1", "--json").stdout)

    shown = hpo("rungs", "small", "--top", "1").stdout

    trials = [json.loads(hpo("trial", f"small/{trial_id}", "--json").stdout) for trial_id in range(8)]
    finished = [trial for trial in trials if trial["end"] == "complete"]
    assert [(row["epoch"], row["num_seen"]) for row in rows] == [(1, 8), (2, 8 - rows[0]["num_stopped"])]
    assert {row["num_finished"] for row in rows} == {len(finished)}
    counts = [[str(row[name]) for name in ("epoch", "num_seen", "num_stopped", "num_spared")] for row in rows]
    assert [line.split()[:4] for line in shown.splitlines()[1:3]] == counts
    assert "among the best 1" in shown


def test_a_sweep_without_rungs_has_none_to_judge(hpo: Hpo, tmp_path: Path) -> None:
    hpo("run", "small.yaml", "-s", f"storage.checkpoints={tmp_path}", "-s", "scheduler={kind: none}", "-s", "epochs=1")

    done = hpo("rungs", "small", "--runs", tmp_path)

    assert done.stdout == "Nothing was decided: no trial has come to a rung before the end.\n"


def test_a_trial_as_json_holds_its_curve(hpo: Hpo) -> None:
    trial = json.loads(hpo("trial", "small/0", "--json").stdout)

    assert trial["trial"] == 0
    assert [int(epoch) for epoch in trial["values"]] == list(range(1, trial["epoch"] + 1))


@pytest.mark.parametrize(
    ("which", "code", "message"),
    [("small", 2, "must be ID/TRIAL, such as small/0."), ("small/99", 1, "the number of a trial of this sweep")],
)
def test_a_trial_that_is_not_there_is_told(hpo: Hpo, which: str, code: int, message: str) -> None:
    done = hpo("trial", which)

    assert done.exit_code == code
    assert message in " ".join(done.stderr.replace("\u2502", " ").split())


def test_export_and_predict_the_winner(hpo: Hpo, tmp_path: Path, examples: Path) -> None:
    winner = json.loads(hpo("best", "small", "--json").stdout)["trial"]

    exported = hpo("export", "small", tmp_path / "bundle")
    predicted = hpo("predict", tmp_path / "bundle", examples)

    assert exported.stdout == f"{tmp_path / 'bundle'}: the model of trial {winner}\n"
    assert predicted.exit_code == 0
    lines = predicted.stdout.splitlines()
    assert lines[0].split() == ["example", "class", "probability"]
    assert lines[11] == "... 12 in all; --json and --out give every one"
    assert lines[12].startswith("accuracy ")


def test_export_any_trial(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("export", "small/3", tmp_path / "bundle")

    assert done.stdout == f"{tmp_path / 'bundle'}: the model of trial 3\n"
    assert json.loads((tmp_path / "bundle" / "card.json").read_text())["trial"] == 3


def test_predict_without_labels_as_json_and_to_a_file(
    hpo: Hpo, folder: Path, sweep_id: str, tmp_path: Path, examples: Path
) -> None:
    np.savez(tmp_path / "unlabelled.npz", x=np.load(examples)["x"])
    bundle = folder / "runs" / sweep_id / "best"

    done = hpo("predict", bundle, tmp_path / "unlabelled.npz", "--json", "--out", tmp_path / "out.npz")

    log_probs = np.load(tmp_path / "out.npz")["log_probs"]
    assert json.loads(done.stdout) == {"classes": log_probs.argmax(1).tolist()}
    assert log_probs.shape == (12, 10)


def test_predict_refuses_a_folder_that_is_no_bundle(hpo: Hpo, folder: Path, examples: Path) -> None:
    done = hpo("predict", folder, examples)

    assert done.exit_code == 1
    assert "must be a bundle" in done.stderr
