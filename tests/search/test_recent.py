"""Which trials a search is shown that learns from the latest."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import optuna
import pytest

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.mirror import Mirror
from hpo.search.parzen import Experience, Parzen
from hpo.search.proposer import Proposer
from hpo.search.recent import Recent
from tests.search.opening import SEARCH

PROBLEM = SEARCH.problem  # the accuracy is to be as high as can be


@dataclass
class Watched:
    """A search that remembers what it is shown, and proposes the number of the trial."""

    num_hidden: int
    shown: list[Stored] = field(default_factory=list)
    values: dict[Stored, float | None] = field(default_factory=dict)

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        params: dict[str, Stored] = {"number": self.num_hidden + len(self.shown)}
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        self.shown.append(params["number"])

    def skip(self) -> None:
        self.shown.append("skipped")

    def report(self, trial_id: int, epoch: int, value: float) -> None: ...

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        self.values[self.shown[trial_id]] = end.value

    def resume(self, trial_id: int) -> None:
        del self.values[self.shown[trial_id]]


class Bench:
    """Blocks of four trials, and the best two before them."""

    def __init__(self) -> None:
        self.begun: list[Watched] = []
        self.search = Recent(PROBLEM, self._begin, block=4, num_best=2)

    def _begin(self, num_hidden: int) -> Proposer:
        self.begun.append(Watched(num_hidden))
        return self.begun[-1]

    def propose(self, num: int) -> list[Stored]:
        return [self.search.propose({})["number"] for _ in range(num)]

    def end(self, trial_id: int, value: float, kind: EndKind = EndKind.COMPLETE, epoch: int = 27) -> None:
        self.search.end(trial_id, {epoch: value}, End(kind=kind, epoch=epoch, value=value))


def test_before_two_blocks_are_full_everything_is_shown() -> None:
    bench = Bench()

    assert bench.propose(8) == list(range(8))
    assert [each.shown for each in bench.begun] == [list(range(8))]


def test_then_the_first_block_is_let_go_of_but_for_its_best_and_those_who_run() -> None:
    bench = Bench()
    bench.propose(8)
    for trial_id, value in enumerate((0.7, 0.9, 0.8)):
        bench.end(trial_id, value)

    assert bench.propose(2) == [8, 9]
    assert bench.begun[-1].shown == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert bench.begun[-1].values == {1: 0.9, 2: 0.8}


def test_who_ends_after_the_block_was_let_go_of_takes_the_place_that_its_value_deserves() -> None:
    bench = Bench()
    bench.propose(8)
    for trial_id, value in enumerate((0.7, 0.9, 0.8)):
        bench.end(trial_id, value)
    bench.propose(1)
    bench.end(3, 0.85)

    assert bench.propose(1) == [9]
    assert bench.begun[-1].shown == [1, 3, *range(4, 10)]


def test_the_best_are_complete_or_else_have_come_farthest_and_nothing_is_kept_of_who_diverged() -> None:
    bench = Bench()
    bench.propose(8)
    bench.end(0, 0.9, EndKind.STOPPED, epoch=1)
    bench.end(1, 0.2, EndKind.STOPPED, epoch=9)
    bench.end(2, 0.95, EndKind.DIVERGED)
    bench.end(3, 0.1)

    bench.propose(1)

    assert bench.begun[-1].shown == [1, 3, *range(4, 9)]


def measured(search: Proposer, trial_id: int) -> None:
    kind = (EndKind.COMPLETE, EndKind.STOPPED, EndKind.STOPPED, EndKind.DIVERGED)[trial_id % 4]
    value = trial_id * 37 % 101 / 101
    search.end(trial_id, {3: value}, End(kind=kind, epoch=3, value=value))


def tpe(block: int) -> Recent:
    def begin(num_hidden: int) -> Proposer:
        experience = Experience(PROBLEM)
        return Mirror(PROBLEM, lambda seed: Parzen(experience, 5, seed), num_hidden)

    return Recent(PROBLEM, begin, block=block, num_best=5)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_a_search_that_is_told_of_all_trials_at_once_proposes_what_the_one_that_saw_them_would() -> None:
    seen, proposed, ended = tpe(block=10), list[dict[str, Stored]](), list[int]()
    seen.skip()
    for number in range(1, 45):
        told = tpe(block=10)
        told.skip()
        for trial_id, params in enumerate(proposed, start=1):
            told.add(params)
            if trial_id in ended:
                measured(told, trial_id)
        proposed.append(seen.propose({}))

        assert proposed[-1] == told.propose({})

        if number > 3 and number - 3 != 7:  # three run at a time, and one of the first for long
            ended.append(number - 3)
            measured(seen, ended[-1])
        if number == 33:
            ended.append(7)
            measured(seen, 7)


def test_while_nothing_is_let_go_of_proposals_are_those_of_the_search_itself() -> None:
    whole, recent = tpe(block=1000), tpe(block=25)

    for number in range(50):
        assert whole.propose({}) == recent.propose({})
        measured(whole, number)
        measured(recent, number)
    assert whole.propose({}) != recent.propose({})
