"""A population on real data, by the commands that one types."""

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hpo.cli import app

SWEEP = """
name: evolved
data: {kind: digits}
model: {kind: mlp, hidden: [16], dropout: 0.1}
schedule: {kind: constant}
epochs: 6
metric: {name: val_loss, goal: minimize}
space:
  optimizer.lr: loguniform(3e-3, 0.3)
  model.dropout: uniform(0.1, 0.2)
  initializer.kind: choice(kaiming_uniform, orthogonal)
scheduler: {kind: pbt, population: 6, every: 2, resample: 0, factor: 1.0001}
tracking: none
"""


def typed(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evolved")
    (folder / "evolved.yaml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def trials(folder: Path) -> list[dict[str, Any]]:
    """Of the sweep, with their curves, by number."""
    from hpo import run

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(run, "run_sweep", partial(run.run_sweep, start_executor=run.start_local))
        result = json.loads(typed("run", "evolved.yaml", "--json"))
        numbers = range(sum(result["ends"].values()))
        return [json.loads(typed("trial", f"evolved/{number}", "--json")) for number in numbers]


@pytest.fixture
def children(trials: list[dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.chdir(folder)
    return [trial for trial in trials if trial["parent"]]


def test_check_says_what_a_population_costs(folder: Path) -> None:
    told, plan = typed("check", folder / "evolved.yaml"), json.loads(typed("check", folder / "evolved.yaml", "--json"))

    assert plan["rungs"] == {"2": 6, "4": 6, "6": 6}
    assert (plan["num_children"], plan["num_epochs"]) == (2, 36)
    assert "children about 2, each in the place of a trial that gives way" in " ".join(told.split())


def test_the_population_reaches_the_end_and_every_place_is_taken(trials: list[dict[str, Any]]) -> None:
    by_end = defaultdict(list)
    for trial in trials:
        by_end[trial["end"]].append(trial)

    assert len(by_end["complete"]) == 6
    assert [trial["reason"]["exploited"] for trial in by_end["stopped"]] == [6, 7]
    assert sum(len(trial["values"]) for trial in trials) == 36


def test_a_child_goes_on_where_its_parent_stood(trials: list[dict[str, Any]], children: list[dict[str, Any]]) -> None:
    for child in children:
        parent = trials[child["parent"]["trial"]]["values"]
        first, second = (str(child["parent"]["epoch"] + k) for k in (1, 2))

        # Its numbers are within a ten-thousandth of its parent's: so are its losses, epoch by epoch.
        assert min(child["values"]) == first
        assert child["values"][first] == pytest.approx(parent[first], rel=1e-2)
        assert child["values"][second] == pytest.approx(parent[second], rel=1e-2)
        assert child["values"][first] < trials[child["lineage"][0]["trial"]]["values"]["1"]


def test_weights_keep_the_initializer_that_they_came_from(
    trials: list[dict[str, Any]], children: list[dict[str, Any]]
) -> None:
    for child in children:
        parent = trials[child["parent"]["trial"]]
        assert child["params"]["initializer.kind"] == parent["params"]["initializer.kind"]
        assert child["params"]["optimizer.lr"] != parent["params"]["optimizer.lr"]


def test_a_trial_shows_the_whole_line_of_its_ancestors(children: list[dict[str, Any]]) -> None:
    child = children[-1]

    told = typed("trial", f"evolved/{child['trial']}")

    assert [leg["trial"] for leg in child["lineage"]][-2:] == [child["parent"]["trial"], child["trial"]]
    for leg in child["lineage"]:
        assert f"epochs {leg['first_epoch']} to {leg['last_epoch']}  trial {leg['trial']}" in told
    assert child["lineage"][0]["first_epoch"] == 1


def test_an_exported_child_tells_its_ancestors_on_its_card(children: list[dict[str, Any]], tmp_path: Path) -> None:
    child = children[-1]

    typed("export", f"evolved/{child['trial']}", tmp_path / "bundle")

    card = json.loads((tmp_path / "bundle" / "card.json").read_text())
    assert card["lineage"] == child["lineage"]
    assert card["epoch"] == 6


def test_the_winner_and_the_table_are_shown_as_of_any_sweep(children: list[dict[str, Any]]) -> None:
    rows = json.loads(typed("trials", "evolved", "--json"))
    best = json.loads(typed("best", "evolved", "--json"))

    assert best["trial"] == rows[0]["trial"]
    assert [row["parent"] for row in rows if row["parent"]]
    assert rows[0]["value"] == min(row["value"] for row in rows)
