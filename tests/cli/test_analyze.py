"""What the trials of a sweep say of its space and its budget."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Hpo


def test_a_sweep_says_what_fewer_trials_would_have_come_to(hpo: Hpo, sweep_id: str) -> None:
    trials = json.loads(hpo("trials", sweep_id, "--json").output)
    mean = sum(trial["value"] for trial in trials) / len(trials)

    found, shown = json.loads(hpo("analyze", sweep_id, "--json").output), hpo("analyze", sweep_id).output

    assert [each["num_trials"] for each in found["expected_best"]] == [1, 2, 4, 8]
    assert found["expected_best"][0]["value"] == pytest.approx(mean)
    assert found["expected_best"][-1]["value"] == max(trial["value"] for trial in trials)
    assert found["importances"] == found["crowds"] == []  # eight trials are too few
    assert shown.split()[:4] == ["best", "of", "value", "95"]
    assert "by the bootstrap" in shown


def test_of_a_sweep_without_an_end_nothing_is_said(hpo: Hpo, tmp_path: Path) -> None:
    done = hpo("analyze", "nobody", "--runs", tmp_path)

    assert done.exit_code == 1
    assert "nobody" in done.stderr
