"""Disk, as a user is told of it."""

import json
import shutil
from pathlib import Path

from tests.cli.conftest import Hpo


def test_gc_says_how_much_it_freed(hpo: Hpo, folder: Path, sweep_id: str, tmp_path: Path) -> None:
    shutil.copytree(folder / "runs" / sweep_id, tmp_path / sweep_id)

    freed = json.loads(hpo("gc", sweep_id, "--keep", "60kB", "--runs", tmp_path, "--json").stdout)
    again = hpo("gc", sweep_id, "--runs", tmp_path)

    assert set(freed) == {"num_states", "num_strays", "num_bytes", "left_bytes"}
    assert freed["left_bytes"] <= 60_000
    assert freed["num_states"] > 0
    assert again.stdout.startswith("freed 0 B: 0 states of trials that ended, 0 files that belong to none")
    assert len(list(tmp_path.glob("*/checkpoints/*/*"))) == 8 - freed["num_states"]


def test_a_limit_that_is_no_size_is_a_matter_of_usage(hpo: Hpo, sweep_id: str) -> None:
    done = hpo("gc", sweep_id, "--keep", "2GiB")

    assert done.exit_code == 2
    assert hpo("gc", sweep_id, "--keep", "0").exit_code == 2


def test_check_refuses_a_sweep_that_cannot_fit_and_says_what_one_needs(hpo: Hpo) -> None:
    refused = hpo("check", "small.yaml", "-s", "storage.keep=10kB")
    plan = json.loads(hpo("check", "small.yaml", "--json").stdout)

    state = 2 * 4 * (64 * 16 + 16 + 16 * 10 + 10)  # weights and momentum, in single precision
    state += 2 * 359 * 10  # and what it predicts of the validation examples, in half precision
    assert refused.exit_code == 1
    assert "must hold the sweep's 2 states of 16.9 KB together, 33.7 KB, but is 10 KB." in refused.output
    assert (plan["disk_bytes"], plan["least_disk_bytes"]) == (8 * state, 2 * state)
