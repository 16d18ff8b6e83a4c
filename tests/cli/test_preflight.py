"""`hpo preflight` as one types it."""

import json

from tests.cli.conftest import Hpo


def test_preflight_shows_what_was_measured_and_passes(hpo: Hpo) -> None:
    done = hpo("preflight", "small.yaml")

    assert done.exit_code == 0
    assert done.output.splitlines()[0].split() == ["check", "measured", "expected", "verdict"]
    assert "one batch by heart" in done.output


def test_preflight_that_fails_says_what_to_do_and_ends_so(hpo: Hpo) -> None:
    changes = (
        "initializer={kind: normal, std: 50}",
        "model.activation=tanh",
        "space={optimizer.lr: 'uniform(1e-3, 1)'}",
    )
    broken = [word for change in changes for word in ("-s", change)]

    done = hpo("preflight", "small.yaml", *broken)
    found = json.loads(hpo("preflight", "small.yaml", *broken, "--json").stdout)

    assert done.exit_code == 1
    assert "saturated units: Change the scale of the weights" in done.output
    saturated = next(check for check in found if check["name"] == "saturated units")
    assert (saturated["verdict"], saturated["value"] > 0.9) == ("failed", True)
