import json

from hpo.records import End, EndKind, Parent, TrialRecord
from hpo.results.lineage import changed_params, lineage, lineage_json


def trial(trial_id: int, lr: float, epoch: int, parent: tuple[int, int] | None = None) -> TrialRecord:
    return TrialRecord(
        trial_id=trial_id,
        params={"lr": lr, "hidden": (8,)},
        end=End(kind=EndKind.COMPLETE, epoch=epoch, value=0.5),
        parent=None if parent is None else Parent(trial_id=parent[0], epoch=parent[1]),
    )


TRIALS = [trial(0, 0.1, 9), trial(1, 0.2, 3), trial(2, 0.12, 6, (0, 3)), trial(3, 0.1, 9, (2, 6))]


def test_a_child_of_a_child_goes_back_to_initial_weights() -> None:
    legs = lineage(TRIALS[3], TRIALS)

    assert [(leg.trial.trial_id, leg.first_epoch, leg.last_epoch) for leg in legs] == [(0, 1, 3), (2, 4, 6), (3, 7, 9)]


def test_a_trial_without_ancestors_trained_all_of_its_epochs() -> None:
    [leg] = lineage(TRIALS[1], TRIALS)

    assert (leg.trial, leg.first_epoch, leg.last_epoch) == (TRIALS[1], 1, 3)


def test_a_child_that_has_not_trained_yet_has_no_epochs_of_its_own() -> None:
    child = TrialRecord(trial_id=4, params={}, parent=Parent(trial_id=0, epoch=6))

    [_, own] = lineage(child, [*TRIALS, child])

    assert (own.first_epoch, own.last_epoch) == (7, 6)


def test_a_leg_tells_what_it_has_otherwise_than_the_one_before() -> None:
    first, second, third = lineage(TRIALS[3], TRIALS)

    assert changed_params(first, second) == {"lr": 0.12}
    assert changed_params(second, third) == {"lr": 0.1}
    assert changed_params(first, first) == {}


def test_a_lineage_is_strict_json() -> None:
    told = lineage_json(lineage(TRIALS[2], TRIALS))

    assert json.loads(json.dumps(told)) == [
        {"trial": 0, "first_epoch": 1, "last_epoch": 3, "params": {"lr": 0.1, "hidden": [8]}},
        {"trial": 2, "first_epoch": 4, "last_epoch": 6, "params": {"lr": 0.12, "hidden": [8]}},
    ]
