"""Whole searches over curves that are known: the study, scheduler, packing and driver of any sweep."""

import json
import math
import statistics
from collections import Counter
from pathlib import Path

import pytest

from hpo.curves import Table
from hpo.curves.table import TableCurves
from hpo.errors import SweepError, TrialsFailedError
from hpo.records import Curve, EndKind, Params
from hpo.scheduling import Asha, Budget, FreezeThaw, NoScheduler, Pbt
from hpo.search.reading import read_trials
from hpo.search.samplers import Coordinate, Curves, Gp, Grid, Random, Sampler, Tpe
from hpo.simulation import Simulated, Simulation, simulate
from hpo.spaces import Choice, RandInt, Uniform

QUALITIES = range(1, 28)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """27 trials, of which the one with quality k has accuracy k/100 at every epoch."""
    path = tmp_path / "curves.csv"
    header = ",".join(["quality", *(f"epoch_{epoch}" for epoch in range(1, 10))])
    path.write_text("\n".join([header, *(f"{k}{f',{k / 100}' * 9}" for k in QUALITIES)]))
    return Table(path=path, lookup="exact")


def make(
    table: Table, *, num_trials: int = 27, num_slots: int = 1, budget: Budget | None = None, seed: int = 0
) -> Simulation:
    return Simulation(
        curves=table,
        space={"quality": RandInt(min=1, max=27)},
        epochs=9,
        sampler=Random(),
        scheduler=Asha(controls=0.0),
        budget=budget or Budget(trials=num_trials),
        points=tuple({"quality": k} for k in QUALITIES),
        num_slots=num_slots,
        seed=seed,
    )


def test_halving_stops_all_but_the_best_as_by_hand(table: Table, tmp_path: Path) -> None:
    found = simulate(make(table), tmp_path)

    # One slot: cohorts of 16 and 11; trials 0 to 15 have 1 to 16 hundredths, so the best 5 of 16 pass, then the best 9
    # of 27; of these 14 the best 4 pass the rung at 3.
    assert Counter((trial.end.kind, trial.end.epoch) for trial in found.trials if trial.end) == {
        (EndKind.STOPPED, 1): 13,
        (EndKind.STOPPED, 3): 10,
        (EndKind.COMPLETE, 9): 4,
    }
    assert [trial.params["quality"] for trial in found.trials if trial.end and trial.end.epoch == 9] == [24, 25, 26, 27]
    assert found.elapsed_s == 60.0 * (27 + 14 * 2 + 4 * 6)


def test_the_history_says_when_each_report_came(table: Table, tmp_path: Path) -> None:
    simulation = make(table, num_trials=2, num_slots=2).model_copy(update={"scheduler": NoScheduler()})

    found = simulate(simulation, tmp_path)

    assert [(moment.at_s, moment.report.trial_id, moment.report.epoch) for moment in found.history] == [
        (60.0 * epoch, trial_id, epoch) for epoch in range(1, 10) for trial_id in (0, 1)
    ]


def test_a_simulation_repeats_exactly_even_with_several_slots(table: Table, tmp_path: Path) -> None:
    simulation = make(table, num_trials=8, num_slots=4)

    first, second = (simulate(simulation, tmp_path / name) for name in ("first", "second"))

    assert first == second


def test_a_budget_of_minutes_is_one_of_virtual_time(table: Table, tmp_path: Path) -> None:
    found = simulate(make(table, num_slots=4, budget=Budget(trials=1000, minutes=10)), tmp_path)

    assert 600.0 <= found.elapsed_s <= 600.0 + 6 * 60.0
    assert all(trial.end for trial in found.trials)


def test_no_file_is_touched_that_is_called_like_a_checkpoint(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    precious = tmp_path / "simulated: trial 26 at epoch 1"
    precious.write_text("precious")

    found = simulate(make(table), tmp_path)

    assert found.trials[26].checkpoint == "simulated: trial 26 at epoch 9"
    assert precious.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"curves.csv", "study.db", "driver.lock", precious.name}


def test_an_interrupt_leaves_the_study_as_it_stood(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = make(table, num_slots=2).model_copy(update={"points": tuple({"quality": k} for k in (27, 1, 2))})
    look_up = TableCurves.curve

    def curve(self: TableCurves, params: Params) -> Curve:
        if params["quality"] == 2:
            raise KeyboardInterrupt
        return look_up(self, params)

    monkeypatch.setattr(TableCurves, "curve", curve)
    with pytest.raises(KeyboardInterrupt):
        simulate(simulation, tmp_path)

    trials = read_trials(tmp_path / "study.db", simulation.space)
    assert [(trial.params["quality"], trial.end and trial.end.kind, trial.checkpoint) for trial in trials] == [
        (27, None, "simulated: trial 0 at epoch 1"),
        (1, EndKind.STOPPED, "simulated: trial 1 at epoch 1"),
        (2, None, None),
    ]


def test_curves_that_are_not_there_fail_their_trials_and_then_the_search(table: Table, tmp_path: Path) -> None:
    simulation = make(table).model_copy(update={"space": {"quality": Uniform(min=30, max=40)}, "points": ()})

    with pytest.raises(TrialsFailedError, match="lookup: exact needs a row of these params"):
        simulate(simulation.model_copy(update={"points": ({"quality": 31.0},) * 3}), tmp_path)


def test_the_space_must_be_that_of_the_curves(table: Table, tmp_path: Path) -> None:
    simulation = make(table).model_copy(update={"space": {"depth": Choice(values=(1, 2))}, "points": (), "epochs": 10})

    with pytest.raises(SweepError) as caught:
        simulate(simulation, tmp_path)

    assert [(problem.key, problem.message) for problem in caught.value.problems] == [
        (
            "space",
            "must search the params of the curves, which are quality, but searches depth. Search the same.",
        ),
        ("epochs", "must be at most the 9 of the curves, but got 10. Lower it."),
    ]


def test_rules_of_a_sweep_hold_here_too(table: Table) -> None:
    message = "scheduler.min_epochs: must be below epochs, which is 1, but got auto: no trial would .* Raise epochs, or"
    with pytest.raises(SweepError, match=message):
        Simulation(curves=table, space={"quality": RandInt(min=1, max=27)}, epochs=1, scheduler=Asha())


def promoting(table: Table, *, num_slots: int = 1, num_trials: int = 27, controls: float = 0.0) -> Simulation:
    tree = make(table, num_trials=num_trials, num_slots=num_slots).as_tree()
    scheduler = {"kind": "asha", "form": "promotion", "controls": controls}
    return Simulation.model_validate_json(json.dumps(tree | {"scheduler": scheduler}))


def test_promotion_trains_on_who_is_among_the_best_whenever_there_is_room(table: Table, tmp_path: Path) -> None:
    found = simulate(promoting(table), tmp_path)

    # One slot: 16 new trials, of 1 to 16 hundredths; the best 5 are promoted to 3, the best of these to 9; 11 new ones
    # are all better, and the best 9 of all 27 among them: promoted to 3; the best 4 of 14 there to 9.
    ends = {trial.params["quality"]: trial.end for trial in found.trials if trial.end}
    assert Counter((end.kind, end.epoch) for end in ends.values()) == {
        (EndKind.STOPPED, 1): 13,
        (EndKind.STOPPED, 3): 9,
        (EndKind.COMPLETE, 9): 5,
    }
    assert [quality for quality, end in ends.items() if end.kind is EndKind.COMPLETE] == [16, 24, 25, 26, 27]
    assert found.elapsed_s == 60.0 * (27 + 14 * 2 + 5 * 6)
    assert ends[15].reason == {"rung": 3, "cutoff": 0.24, "rank": 11, "num_seen": 14}
    assert ends[18].reason == {"rung": 1, "cutoff": 0.19, "rank": 10, "num_seen": 27}


def test_a_trial_that_pauses_is_decided_on_when_it_comes_and_when_it_goes(table: Table, tmp_path: Path) -> None:
    found = simulate(promoting(table), tmp_path)

    decisions = {
        trial.params["quality"]: [
            (decision.rung, decision.outcome.value, decision.rank, decision.num_seen) for decision in trial.decisions
        ]
        for trial in found.trials
    }
    assert decisions[15] == [(1, "pauses", 2, 16), (1, "continues", 2, 16), (3, "pauses", 2, 5), (3, "stops", 11, 14)]
    assert decisions[18] == [(1, "pauses", 10, 27), (1, "stops", 10, 27)]
    assert found.trials == read_trials(tmp_path / "study.db", promoting(table).space)


def test_promotion_over_several_slots_ends_every_trial_and_completes_the_best(table: Table, tmp_path: Path) -> None:
    found = simulate(promoting(table, num_slots=4), tmp_path)

    ends = {trial.params["quality"]: trial.end for trial in found.trials if trial.end}
    assert len(ends) == 27
    assert ends[27].kind is EndKind.COMPLETE
    assert sum(end.epoch > 1 for end in ends.values()) >= 9
    assert all(end.reason["num_seen"] == 27 for end in ends.values() if end.epoch == 1)


@pytest.mark.parametrize("sampler", [Tpe(), Gp(), Coordinate()], ids=lambda sampler: sampler.kind)
def test_promotion_goes_with_samplers_that_learn_and_shows_them_who_pauses(tmp_path: Path, sampler: Sampler) -> None:
    found = simulate(hill(tmp_path, sampler), tmp_path)

    ends = [trial.end for trial in found.trials if trial.end]
    assert Counter(end.epoch for end in ends)[1] > 8
    assert {(end.kind, end.epoch) for end in ends} == {
        (EndKind.STOPPED, 1),
        (EndKind.STOPPED, 3),
        (EndKind.COMPLETE, 9),
    }
    firsts = [trial.values[1] for trial in found.trials]
    assert sum(value > statistics.median(firsts) for value in firsts[:13]) <= 5


def hill(folder: Path, sampler: Sampler) -> Simulation:
    """Best at x = 8 and y = 8; every curve rises."""
    path = folder / "hill.csv"
    rows = [
        ",".join(
            [f"{x},{y}", *(f"{0.9 - ((x - 8) ** 2 + (y - 8) ** 2) / 1000 - 0.3 / epoch}" for epoch in range(1, 10))]
        )
        for x in range(21)
        for y in range(21)
    ]
    path.write_text("\n".join([",".join(["x", "y", *(f"epoch_{epoch}" for epoch in range(1, 10))]), *rows]))
    return Simulation(
        curves=Table(path=path, lookup="exact"),
        space={"x": RandInt(min=0, max=20), "y": RandInt(min=0, max=20)},
        epochs=9,
        sampler=sampler,
        scheduler=Asha(form="promotion", min_epochs=1, controls=0.0),
        budget=Budget(trials=27),
        num_slots=2,
    )


@pytest.mark.parametrize("num_slots", [1, 4])
def test_controls_that_nobody_promotes_train_to_the_end_when_everything_else_is_done(
    table: Table, tmp_path: Path, num_slots: int
) -> None:
    free = simulate(promoting(table, num_slots=num_slots), tmp_path / "without")

    found = simulate(promoting(table, num_slots=num_slots, controls=1.0), tmp_path / "with")

    assert {trial.end.kind for trial in found.trials if trial.end} == {EndKind.COMPLETE}
    for with_controls, without in zip(found.trials, free.trials, strict=True):
        spared = [decision for decision in with_controls.decisions if decision.outcome.value == "spared"]
        stopped = [decision for decision in without.decisions if decision.outcome.value == "stops"]
        assert [(each.rung, each.rank) for each in spared] == [(each.rung, each.rank) for each in stopped]
    assert found.elapsed_s > free.elapsed_s


def test_where_too_few_came_for_one_to_be_promoted_there_is_no_cutoff(table: Table, tmp_path: Path) -> None:
    simulation = promoting(table).model_copy(update={"budget": Budget(trials=2)})

    found = simulate(simulation, tmp_path)

    reasons = [trial.end.reason for trial in found.trials if trial.end]
    assert [(reason["rank"], reason["num_seen"], reason["cutoff"]) for reason in reasons] == [
        (2, 2, math.inf),
        (1, 2, math.inf),
    ]


def test_the_median_rule_stops_who_never_was_as_good_as_half_of_the_others_on_average(
    table: Table, tmp_path: Path
) -> None:
    tree = make(table).as_tree() | {"scheduler": {"kind": "median", "min_epochs": 3, "controls": 0.0}}

    found = simulate(Simulation.model_validate_json(json.dumps(tree)), tmp_path)

    # One slot: of 1 to 16 hundredths at epoch 3, 1 to 8 are below the median of the others, then none of 17 to 27; the
    # 16 that waited longest, 9 to 24, go on to epoch 6, where 9 to 16 are below it; then none of 25 to 27.
    ends = {trial.params["quality"]: trial.end for trial in found.trials if trial.end}
    assert {quality: end.epoch for quality, end in ends.items()} == {
        quality: 3 if quality <= 8 else 6 if quality <= 16 else 9 for quality in QUALITIES
    }
    assert ends[8].reason == {"rung": 3, "cutoff": pytest.approx(0.09), "rank": 9, "num_seen": 16}
    assert ends[16].reason == {"rung": 6, "cutoff": pytest.approx(0.17), "rank": 9, "num_seen": 16}


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("num_slots", [1, 3])
def test_controls_and_all_decisions_repeat(table: Table, tmp_path: Path, kind: str, num_slots: int) -> None:
    tree = make(table, num_slots=num_slots, seed=3).as_tree() | {"scheduler": {"kind": kind, "controls": 0.3}}
    simulation = Simulation.model_validate_json(json.dumps(tree | {"points": []}))

    first, second = (simulate(simulation, tmp_path / name) for name in ("first", "second"))

    assert first == second
    outcomes = Counter(decision.outcome.value for trial in first.trials for decision in trial.decisions)
    assert set(outcomes) == {"continues", "spared", "stops"}
    assert read_trials(tmp_path / "first" / "study.db", simulation.space) == first.trials


def test_where_curves_cross_rungs_in_doubt_stop_nobody_and_the_late_ones_win(tmp_path: Path) -> None:
    rows = [
        [quality, *(30 - quality + (2 * quality - 30) * epoch / 9 for epoch in range(1, 10))] for quality in QUALITIES
    ]
    path = tmp_path / "crossing.csv"
    header = ",".join(["quality", *(f"epoch_{epoch}" for epoch in range(1, 10))])
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    crossing = make(Table(path=path, lookup="exact"), num_trials=54, num_slots=4).model_copy(update={"points": ()})

    doubted, trusted = (
        simulate(crossing.model_copy(update={"scheduler": Asha(controls=0.1, doubts=doubts)}), tmp_path / doubts)
        for doubts in ("auto", "never")
    )

    doubts = [decision for trial in doubted.trials for decision in trial.decisions if decision.doubt is not None]
    assert {decision.outcome.value for decision in doubts} == {"continues"}
    assert all(decision.doubt is not None and decision.doubt <= 0 for decision in doubts)
    late = [sum(quality > 20 for quality in final_qualities(found)) for found in (doubted, trusted)]
    assert late[0] >= 2 * late[1] > 0
    assert read_trials(tmp_path / "auto" / "study.db", crossing.space) == doubted.trials


def final_qualities(found: Simulated) -> list[int]:
    """Of the trials that went to the end."""
    ends = [trial for trial in found.trials if trial.end and trial.end.kind is EndKind.COMPLETE]
    return [int(str(trial.params["quality"])) for trial in ends]


def thawing(table: Table, *, num_slots: int = 1, num_trials: int = 12) -> Simulation:
    return Simulation(
        curves=table,
        space={"quality": RandInt(min=1, max=27)},
        epochs=9,
        sampler=Curves(num_startup=4),
        scheduler=FreezeThaw(),
        budget=Budget(trials=num_trials),
        num_slots=num_slots,
    )


@pytest.mark.parametrize("num_slots", [1, 3])
def test_freeze_and_thaw_trains_what_promises_most_to_the_end(table: Table, tmp_path: Path, num_slots: int) -> None:
    found = simulate(thawing(table, num_slots=num_slots), tmp_path)

    ends = {trial.params["quality"]: trial.end.kind for trial in found.trials if trial.end is not None}
    complete = [quality for quality, kind in ends.items() if kind is EndKind.COMPLETE]
    assert max(int(str(quality)) for quality in ends) in complete
    assert EndKind.STOPPED in ends.values()
    assert all(trial.end for trial in found.trials)


def test_freeze_and_thaw_spends_what_halving_plans(table: Table, tmp_path: Path) -> None:
    planned = 12 * 1 + 4 * 2 + 12 / 9 * 6

    found = simulate(thawing(table), tmp_path)

    assert planned <= len(found.history) <= planned + 9


def test_freeze_and_thaw_repeats_exactly_with_several_slots(table: Table, tmp_path: Path) -> None:
    simulation = thawing(table, num_slots=3)

    first, second = (simulate(simulation, tmp_path / name) for name in ("first", "second"))

    assert first == second


def test_freeze_and_thaw_needs_a_sampler_that_knows_what_trials_promise(table: Table) -> None:
    tree = thawing(table).as_tree() | {"sampler": {"kind": "random"}}

    with pytest.raises(SweepError, match="freeze_thaw needs sampler.kind curves") as error:
        Simulation.model_validate_json(json.dumps(tree))

    assert [problem.key for problem in error.value.problems] == ["scheduler.kind"]


@pytest.mark.parametrize("num_slots", [1, 3])
def test_a_population_changes_its_params_on_the_way_and_repeats_exactly(
    table: Table, tmp_path: Path, num_slots: int
) -> None:
    scheduler = Pbt(population=4, every=1, resample=0.0)
    points = tuple({"quality": k} for k in range(1, 5))
    changes = {"scheduler": scheduler, "budget": Budget(), "points": points, "num_slots": num_slots}
    simulation = make(table).model_copy(update=changes)

    found, again = (simulate(simulation, tmp_path / name) for name in ("first", "second"))

    ends = Counter(trial.end.kind for trial in found.trials if trial.end)
    children = [trial for trial in found.trials if trial.parent]
    assert found == again
    assert ends == {EndKind.COMPLETE: 4, EndKind.STOPPED: len(children)}
    assert len(found.history) == 4 * 9
    assert max(int(str(trial.params["quality"])) for trial in children) > 4
    assert all(trial.values.keys().isdisjoint(range(1, trial.parent.epoch + 1)) for trial in children if trial.parent)


def test_a_population_refuses_samplers_that_learn(table: Table) -> None:
    with pytest.raises(SweepError) as caught:
        Simulation(curves=table, space={"quality": RandInt(min=1, max=27)}, epochs=9, sampler=Tpe(), scheduler=Pbt())

    assert str(caught.value) == (
        "simulation: scheduler.kind: pbt needs a sampler that never learns, for what a child measures is owed to its "
        "ancestors' params too, but got sampler.kind tpe. Use sampler: {kind: random}, qmc or grid, or another "
        "scheduler."
    )


def test_a_grid_tries_every_combination_once_and_the_sweep_ends(table: Table, tmp_path: Path) -> None:
    simulation = make(table, num_slots=2).model_copy(update={"sampler": Grid(), "points": ()})

    found = simulate(simulation, tmp_path)

    assert sorted(str(trial.params["quality"]) for trial in found.trials) == sorted(map(str, QUALITIES))


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"budget": {"trials": 28}}, "budget.trials", "must be at most the size of the grid, which is 27, but got 28"),
        (
            {"space": {"quality": "uniform(1, 27)"}, "points": []},
            "space.quality",
            "must have values that can be listed with sampler.kind grid",
        ),
        (
            {"space": {"quality": "randint(1, 1000)", "other": "quniform(0, 1, 0.005)"}, "points": []},
            "sampler.kind",
            "grid lists at most 100000 combinations, but the space has 201000",
        ),
    ],
    ids=["too many trials", "a range", "too many combinations"],
)
def test_a_grid_is_refused_where_it_cannot_be_listed(
    table: Table, changes: dict[str, object], key: str, message: str
) -> None:
    tree = make(table).as_tree() | {"sampler": {"kind": "grid"}} | changes

    with pytest.raises(SweepError, match=message) as error:
        Simulation.model_validate_json(json.dumps(tree))

    assert [problem.key for problem in error.value.problems] == [key]


def test_evolution_of_nothing_but_choices_is_refused(table: Table) -> None:
    space = {"space": {"quality": "choice(1, 2, 3)"}, "points": []}
    tree = make(table).as_tree() | {"sampler": {"kind": "cmaes"}} | space

    with pytest.raises(SweepError, match="sampler.kind: cmaes needs a domain that is a number"):
        Simulation.model_validate_json(json.dumps(tree))


def test_a_factor_that_multiplies_nothing_is_refused(table: Table) -> None:
    tree = make(table).as_tree() | {"sampler": {"kind": "coordinate", "factor": 4}}

    with pytest.raises(SweepError, match="sampler.factor: must be left out where no domain is a loguniform.*got 4"):
        Simulation.model_validate_json(json.dumps(tree))


def test_coordinate_descent_finds_the_best_of_27_within_16_trials(table: Table, tmp_path: Path) -> None:
    changes = {"sampler": Coordinate(), "points": (), "budget": Budget(trials=16), "scheduler": NoScheduler()}

    found = simulate(make(table, num_slots=2).model_copy(update=changes), tmp_path)

    qualities = [trial.params["quality"] for trial in found.trials]
    assert qualities[:3] == [14, 14, 14]
    assert 27 in qualities[3:]
    assert len(set(qualities)) == 14
