"""The doctor, as a user calls it."""

import json
from pathlib import Path

from hpo.paths import SweepPaths
from hpo.tracking.entries import begun, to_line
from hpo.tracking.spool import open_spool
from tests.cli.conftest import SWEEP, Hpo


def test_the_doctor_shows_versions_and_that_a_sweep_is_well(hpo: Hpo, sweep_id: str) -> None:
    done = hpo("doctor")

    lines = [line.split() for line in done.output.splitlines() if line.strip()]
    assert done.exit_code == 0
    assert lines[0][::2] == ["python", "hpo", "torch", "ray", "optuna", "mlflow"]
    assert lines[1:] == [
        ["sweep", "study", "MLflow", "waited", "written", "left"],
        [sweep_id, "whole", "off", "0", "0", "0"],
        ["Nothing", "is", "wrong."],
    ]


def test_the_doctor_fails_while_something_is_wrong(hpo: Hpo, tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path / "lost-3f2a")
    paths.root.mkdir()
    paths.resolved.write_text(SWEEP.replace("tracking: none", f"tracking: {{uri: 'sqlite:///{tmp_path}/gone.db'}}"))
    spool = open_spool(paths.outbox)
    spool.append(to_line(begun({}, 0)))
    spool.close()

    shown, told = hpo("doctor", "lost", "--runs", tmp_path), hpo("doctor", "--runs", tmp_path, "--json")

    assert (shown.exit_code, told.exit_code) == (1, 1)
    assert "lost-3f2a: " in shown.output
    assert "gone.db: must be MLflow's database, but is not there" in shown.output
    [found] = json.loads(told.output)["sweeps"]
    assert (found["mlflow"], found["num_waiting"], found["num_left"]) == ("away", 1, 1)


def test_the_doctor_finds_no_sweeps_where_there_are_none(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("doctor", "--runs", tmp_path)

    assert done.exit_code == 0
    assert "No sweeps here." in done.output
