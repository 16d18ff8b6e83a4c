"""Genetic search for the Pareto front of several metrics, as a function of the trials."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.records import End, EndKind, Goal, Params
from hpo.search.breeding import num_divisions
from hpo.search.samplers import Nsga2, Nsga3, Random, Sampler
from hpo.search.study import Study
from hpo.spaces import Domain, Uniform
from tests.search.opening import open_study, read_with_optuna

NUM_AXES = 5
SPACE: Mapping[str, Domain] = {f"x{axis}": Uniform(min=0.0, max=1.0) for axis in range(NUM_AXES)}
OTHERS = {"val_loss": Goal.MINIMIZE}


def point(params: Params) -> list[float]:
    return [value for name in SPACE if isinstance(value := params[name], float)]


def zdt1(x: Sequence[float]) -> tuple[float, float]:
    """Two costs; on their front the second is 1 - sqrt(first) (Zitzler, Deb & Thiele 2000)."""
    g = 1 + 9 * sum(x[1:]) / (len(x) - 1)
    return x[0], g * (1 - math.sqrt(x[0] / g))


def hypervolume(costs: Sequence[tuple[float, float]], reference: tuple[float, float] = (1.0, 6.0)) -> float:
    """The area between the costs and a reference point that is worse than all that count."""
    area, ceiling = 0.0, reference[1]
    for first, second in sorted(costs):
        if first < reference[0] and second < ceiling:
            area += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return area


def search(folder: Path, sampler: Sampler, num: int, **changes: object) -> list[list[float]]:
    """Points that were tried for ZDT1, of which one cost is told as a value to maximize."""
    with open_study(folder, **{"space": SPACE, "sampler": sampler, "others": OTHERS, **changes}) as study:
        for _ in range(num):
            tell(study)
        return [point(trial.params) for trial in study.trials()]


def tell(study: Study) -> None:
    [trial] = study.ask(1)
    first, second = zdt1(point(trial.params))
    end = End(kind=EndKind.COMPLETE, epoch=27, value=-first, metrics={"val_accuracy": -first, "val_loss": second})
    study.tell(trial.trial_id, end)


def test_hypervolume_by_hand() -> None:
    assert hypervolume([(0.5, 3.0), (0.25, 4.0), (0.5, 4.0), (2.0, 0.0)]) == 0.75 * 2 + 0.5 * 1


@pytest.mark.parametrize(
    ("sampler", "seed"),
    [
        (Nsga2(), 0),
        pytest.param(Nsga2(), 1, marks=pytest.mark.slow),
        pytest.param(Nsga3(), 0, marks=pytest.mark.slow),
        pytest.param(Nsga3(), 1, marks=pytest.mark.slow),
    ],
)
def test_after_200_trials_random_draws_lack_twice_the_hypervolume(
    tmp_path_factory: pytest.TempPathFactory, sampler: Sampler, seed: int
) -> None:
    bred, drawn = (
        hypervolume([zdt1(x) for x in search(tmp_path_factory.mktemp(kind.kind), kind, 200, seed=seed)])
        for kind in (sampler, Random())
    )

    best = 6 - 1 / 3  # under 1 - sqrt(x) lies a third
    assert best - drawn > 2 * (best - bred)


def test_without_mutation_a_child_has_nothing_that_no_parent_has(tmp_path: Path) -> None:
    points = search(tmp_path, Nsga2(population=6, mutation=0.0), 30)

    first, bred = points[:6], points[6:]
    known = [{x[axis] for x in first} for axis in range(NUM_AXES)]
    assert all(min(abs(x[axis] - value) for value in known[axis]) < 1e-9 for x in bred for axis in range(NUM_AXES))


def test_with_mutation_of_everything_a_child_has_nothing_of_its_parents(tmp_path: Path) -> None:
    points = search(tmp_path, Nsga2(population=6, mutation=1.0), 30)

    assert len({x[axis] for x in points for axis in range(NUM_AXES)}) == 30 * NUM_AXES


@pytest.mark.parametrize("sampler", [Nsga2(population=4, mutation=0), Nsga3(population=4, mutation=0)])
def test_parents_are_the_best_of_two_generations_spread_along_the_front(tmp_path: Path, sampler: Sampler) -> None:
    # Five are on the front, of which four are kept. NSGA-II: the crowding distances of (1, 7), (2, 6) and (5, 3), which
    # are not at its ends, are 0.5, 1 and 1.5. NSGA-III: (1, 7) is nearest to the reference point of (0, 8), which
    # is nearer to it; each of the other three has a reference point of its own.
    costs = [(0, 8), (9, 9), (1, 7), (2, 6), (9, 8), (5, 3), (8, 0), (8, 9)]

    assert bred_from(tmp_path, sampler, costs) == [[0, 3, 5, 6]] * NUM_AXES


@pytest.mark.parametrize("sampler", [Nsga2(population=4, mutation=0), Nsga3(population=4, mutation=0)])
def test_who_was_left_out_of_a_generation_does_not_come_back(tmp_path: Path, sampler: Sampler) -> None:
    # As above; then (1.2, 2.9) beats (2, 6) and (5, 3), and of all trials together (1, 7) would be on a front of four.
    costs = [(0, 8), (9, 9), (1, 7), (2, 6), (9, 8), (5, 3), (8, 0), (8, 9), (1.2, 2.9), (9, 9), (9, 9), (9, 9)]

    for places in bred_from(tmp_path, sampler, costs):
        assert {0, 6, 8} <= set(places)
        assert 2 not in places


def bred_from(folder: Path, sampler: Sampler, costs: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Along each axis, from which trials the next have what they have; trial k lies at k along all of them."""
    num = len(costs)
    points = [dict.fromkeys(SPACE, (number + 0.5) / num) for number in range(num)]
    with open_study(folder, space=SPACE, sampler=sampler, others=OTHERS, points=points) as study:
        study.ask(num)
        for number, (first, second) in enumerate(costs):
            metrics = {"val_loss": second}
            study.tell(number, End(kind=EndKind.COMPLETE, epoch=27, value=-first, metrics=metrics))
        children = [point(trial.params) for trial in study.ask(40)]
    return [sorted({int(num * x[axis]) for x in children}) for axis in range(NUM_AXES)]


@pytest.mark.parametrize(
    ("num_metrics", "population", "divisions"),
    [(2, 20, 19), (3, 20, 4), (3, 21, 5), (3, 92, 12), (2, 4, 3)],  # with 12, 91 points: Deb & Jain 2014, table I
)
def test_reference_points_are_as_many_as_the_population_can_meet(
    num_metrics: int, population: int, divisions: int
) -> None:
    assert num_divisions(num_metrics, population) == divisions


def test_optuna_is_told_all_metrics_of_a_complete_trial(tmp_path: Path) -> None:
    [x] = search(tmp_path, Random(), 1)

    [trial] = read_with_optuna(tmp_path)
    first, second = zdt1(x)
    assert trial.values == [-first, second]


def test_a_complete_trial_must_have_every_metric(tmp_path: Path) -> None:
    with open_study(tmp_path, space=SPACE, sampler=Nsga2(), others=OTHERS) as study:
        study.ask(1)

        with pytest.raises(StudyError, match=r"trial 0: a complete trial must have a finite val_loss, but has None"):
            study.tell(0, End(kind=EndKind.COMPLETE, epoch=27, value=0.5))


def test_a_study_is_opened_again_only_for_the_same_metrics(tmp_path: Path) -> None:
    open_study(tmp_path, space=SPACE, sampler=Nsga2(), others=OTHERS).close()

    with pytest.raises(StudyError, match="others: must be what the study was made for, val_loss=minimize, but is"):
        open_study(tmp_path, space=SPACE, sampler=Random())
