"""Commands that do on a cluster what they do here."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.conftest import Done
from tests.cluster.nodes import Head

pytestmark = pytest.mark.slow
Hpo = Callable[..., Done]
SECRET = "correct-horse-battery"


def wait_for(path: Path) -> None:
    patience = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < patience, path
        time.sleep(0.2)


def test_a_sweep_pauses_goes_on_and_is_given_more_from_another_folder(
    hpo: Hpo, head: Head, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = folder / "my_pkg/nets.py"
    nets.write_text(nets.read_text() + "\n\nimport os\n\nassert os.environ['MY_KEY']\n")
    known = head.environment | {"MY_KEY": SECRET}
    more = ("-s", "budget.trials=500", "-s", "cluster.env=[MY_KEY]", "--id", "long")
    hpo("submit", "conf/small.yaml", *more, environment=known)
    wait_for(head.home / "runs/long/notice.json")
    nets.unlink()

    paused = hpo("pause", "lo")
    states = json.loads(hpo("ls", "--json").stdout)
    unset = hpo("resume", "long")
    extended = hpo("extend", "long", "--trials", "501", "--json", environment=known)

    assert paused.stdout == "long is paused. Go on with: hpo resume long\n", paused.stderr
    assert {state["id"]: state["state"] for state in states}["long"] == "paused"
    assert "cluster.env: every variable must be set here, but MY_KEY is not" in unset.stderr
    assert json.loads(extended.stdout)["ends"] == {"complete": 501}, extended.stderr
    assert "long is paused.\n" in hpo("logs", "long").stdout
    assert SECRET not in "".join(path.read_text() for path in (head.home / "runs/long").glob("*.[yjl]*"))


def test_a_sweep_that_never_began_is_told_by_its_job(hpo: Hpo, folder: Path) -> None:
    (folder / "conf/small.yaml").write_text(
        (folder / "conf/small.yaml").read_text() + "\nstorage: {checkpoints: /dev/null/runs}\n"
    )
    sent = hpo("submit", "conf/small.yaml", "--id", "stillborn", "--follow")

    state = json.loads(hpo("status", "still", "--json", "--runs", "runs").stdout)
    logs = hpo("logs", "stillborn")

    assert sent.returncode == 1
    assert (state["id"], state["state"]) == ("stillborn", "failed")
    assert "it has no folder there; its job is failed." in state["problem"]
    assert state["problem"].endswith("See: hpo logs stillborn")
    assert "Not a directory" in logs.stdout, logs
