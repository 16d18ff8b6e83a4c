"""A sweep of one's own network goes to a cluster that wants a token."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.conftest import Done
from tests.cluster.nodes import Head

pytestmark = pytest.mark.slow
Hpo = Callable[..., Done]


def test_a_submitted_sweep_runs_there_and_leaves_with_its_exit_code(hpo: Hpo, head: Head) -> None:
    done = hpo("submit", "conf/small.yaml", "--id", "first", "--follow", "-s", "budget.trials=3")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("first is sent: 2 files")
    assert "first finished" in done.stdout
    assert (head.home / "runs/first/leaderboard.csv").read_text().count("\n") == 4
    assert (head.home / "runs/first/code/my_pkg/nets.py").is_file()


def test_a_sweep_that_fails_there_leaves_with_that_exit_code(hpo: Hpo, folder: Path) -> None:
    broken = (folder / "my_pkg/nets.py").read_text().replace("nn.Linear(64", "nn.Linear(63")
    (folder / "my_pkg/nets.py").write_text(broken)

    done = hpo("submit", "conf/small.yaml", "--follow")

    assert done.returncode == 3
    assert "2 failed" in done.stdout


def test_the_same_id_is_refused_a_second_time(hpo: Hpo) -> None:
    hpo("submit", "conf/small.yaml", "--id", "twice")

    again = hpo("submit", "conf/small.yaml", "--id", "twice")

    assert again.returncode == 1
    assert "twice: the id of a job must be new, but the cluster has one" in again.stderr


def test_of_two_that_are_sent_at_once_both_run(hpo: Hpo) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: hpo("submit", "conf/small.yaml", "--follow"), range(2)))

    assert [done.returncode for done in both] == [0, 0], both
    assert len({done.stdout.partition(" is sent")[0] for done in both}) == 2


def test_without_a_token_nobody_is_let_in(hpo: Hpo, head: Head) -> None:
    done = hpo("submit", "conf/small.yaml", environment={"HPO_ADDRESS": head.address, "RAY_AUTH_MODE": "disabled"})

    assert done.returncode == 1
    assert "the cluster must know who asks" in done.stderr
    assert "Export RAY_AUTH_MODE=token, and the cluster's token as RAY_AUTH_TOKEN" in done.stderr


def test_a_wrong_token_is_told_what_to_do(hpo: Hpo, head: Head) -> None:
    done = hpo("submit", "conf/small.yaml", environment=head.environment | {"RAY_AUTH_TOKEN": "0" * 64})

    assert done.returncode == 1
    assert "the cluster must know who asks" in done.stderr
    assert "Export RAY_AUTH_MODE=token, and the cluster's token as RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_is_found_before_anything_is_sent(hpo: Hpo) -> None:
    done = hpo("submit", "conf/small.yaml", "-s", "epochs=0", environment={"HPO_ADDRESS": "http://127.0.0.1:9"})

    assert done.returncode == 1
    assert "1 mistake" in done.stderr


def test_where_nobody_answers_one_is_told_how_to_get_there(hpo: Hpo) -> None:
    done = hpo("submit", "conf/small.yaml", environment={"HPO_ADDRESS": "http://127.0.0.1:9"})

    assert done.returncode == 1
    assert "http://127.0.0.1:9: the cluster's dashboard must answer, but does not" in done.stderr


def test_a_variable_that_is_not_set_is_found_before_anything_is_sent(hpo: Hpo) -> None:
    done = hpo("submit", "conf/small.yaml", "-s", "cluster.env=[NOT_SET_HERE]")

    assert done.returncode == 1
    assert "cluster.env: every variable must be set here, but NOT_SET_HERE is not" in done.stderr
