"""Population based training: the driver and a real study, over trainings that a test makes up, with states on disk."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hpo.config import Config
from hpo.driver.driver import Driver
from hpo.execution import LocalExecutor
from hpo.records import (
    End,
    EndKind,
    Failure,
    Goal,
    Outcome,
    Params,
    Parent,
    Report,
    Segment,
    SegmentEnd,
    TrialRecord,
    TrialSpec,
)
from hpo.scheduling import Budget, NoScheduler, Pbt, Scheduler
from hpo.search.reading import read_trials
from hpo.search.samplers import Random
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.spaces import LogUniform, Space, Uniform
from hpo.spaces.conditions import Conditions
from hpo.sweep import Metric, Retries
from hpo.sweep.choosing import Chosen
from hpo.tracking.tracker import NullTracker

State = Mapping[str, float]
Numbers = Mapping[str, float]
Train = Callable[[State, Numbers, int], tuple[State, float]]
"""From a state, params and the number of an epoch to the next state and the value to be maximised."""


class Toy(Config):
    """The terms of a search whose recipes are nothing but params."""

    space: Space
    scheduler: Scheduler
    epochs: int
    points: tuple[Numbers, ...] = ()
    budget: Budget = Budget()
    retries: Retries = Retries(error=0)
    metric: Metric = Metric(name="val_accuracy", goal=Goal.MAXIMIZE)
    seed: int = 0
    inherited: tuple[str, ...] = ()

    @property
    def conditions(self) -> Conditions:
        return Conditions(self.space)

    @property
    def chosen(self) -> Chosen:
        return Chosen(sampler=Random(), scheduler=self.scheduler)

    def specify(self, trial: TrialRecord) -> TrialSpec:
        return TrialSpec(trial_id=trial.trial_id, recipe=json.dumps(trial.params))

    def may_follow(self, params: Params, parent: Params) -> bool:
        return all(params[path] == parent[path] for path in self.inherited)


@dataclass(frozen=True)
class Trainings:
    """A workload that begins at `start`, trains as a test says, and writes its state as files."""

    folder: Path
    start: State
    train: Train
    segments: list[Segment] = field(default_factory=list)

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Report | Failure]]:
        return self.run

    def run(self, segment: Segment) -> Iterator[Report | Failure]:
        self.segments.append(segment)
        for spec in segment.cohort:
            try:
                yield from self.run_one(segment, spec)
            except ArithmeticError as error:
                yield Failure(trial_id=spec.trial_id, error=repr(error), traceback="")

    def run_one(self, segment: Segment, spec: TrialSpec) -> Iterator[Report]:
        found = segment.checkpoints.get(spec.trial_id)
        state = json.loads(Path(found).read_text()) if found else self.start
        for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
            state, value = self.train(state, json.loads(spec.recipe), epoch)
            report = Report(trial_id=spec.trial_id, epoch=epoch, metrics={"val_accuracy": value, "seconds": 1.0})
            if not math.isfinite(value):
                yield replace(report, metrics={"seconds": 1.0}, first_bad_step=epoch - 1)
                return
            if epoch == segment.to_epoch:
                path = self.folder / f"trial-{spec.trial_id}-epoch-{epoch}-{segment.attempt}.json"
                path.write_text(json.dumps(state))
                report = replace(report, checkpoint=str(path))
            yield report


@dataclass
class Notes(NullTracker):
    """A tracker that remembers whose child each trial is, and how it ended."""

    parents: dict[int, Parent | None] = field(default_factory=dict)
    ends: dict[int, End] = field(default_factory=dict)

    def start(self, trial_id: int, params: Params, parent: Parent | None = None) -> None:
        self.parents[trial_id] = parent

    def end(self, trial_id: int, end: End) -> None:
        self.ends[trial_id] = end


def search_of(toy: Toy) -> Search:
    return Search(
        space=toy.space,
        metric=toy.metric.name,
        goal=toy.metric.goal,
        max_epochs=toy.epochs,
        sampler=Random(),
        seed=toy.seed,
        points=toy.points,
    )


def run(toy: Toy, folder: Path, start: State, train: Train, notes: Notes | None = None) -> list[TrialRecord]:
    folder.mkdir(exist_ok=True)
    executor = LocalExecutor(Trainings(folder, start, train))
    with Study.open(folder / "study.db", search_of(toy)) as study:
        driver = Driver(
            toy, study, notes or Notes(), lambda _: None, num_slots=lambda: executor.num_slots, clock=lambda: 0.0
        )
        executor.run(driver.next_segment, driver.on_report, driver.on_segment_end)
    return read_trials(folder / "study.db", toy.space)


def final_values(trials: list[TrialRecord]) -> list[float]:
    return [trial.end.value for trial in trials if trial.end and trial.end.kind is EndKind.COMPLETE and trial.end.value]


def climb(theta: State, params: Numbers, epoch: int) -> tuple[State, float]:
    """Gradient ascent on 1.2 - h0 theta0^2 - h1 theta1^2, measured by 1.2 - theta0^2 - theta1^2."""
    moved = {axis: place - 0.1 * 2 * params[f"h{axis}"] * place for axis, place in theta.items()}
    return moved, 1.2 - sum(place**2 for place in moved.values())


def test_the_papers_toy_is_solved_by_a_population_of_two_and_by_nobody_alone(tmp_path: Path) -> None:
    toy = Toy(
        space={"h0": Uniform(min=0, max=1), "h1": Uniform(min=0, max=1)},
        scheduler=Pbt(population=2, quantile=0.5, every=4),
        epochs=48,
        points=({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0}),
    )
    alone = toy.model_copy(update={"scheduler": NoScheduler(), "budget": Budget(trials=2)})

    together, apart = (
        run(terms, tmp_path / name, {"0": 0.9, "1": 0.9}, climb) for name, terms in (("pbt", toy), ("grid", alone))
    )

    assert final_values(apart) == pytest.approx([0.39, 0.39], abs=1e-3)
    assert final_values(together) == pytest.approx([1.2, 1.2], abs=0.02)


def drift(progress: State, params: Numbers, epoch: int) -> tuple[State, float]:
    """What an epoch gains is greatest at a rate that falls by a factor of 100 over 20 epochs."""
    distance = math.log10(params["lr"]) + 2 * epoch / 20
    total = progress["total"] + math.exp(-(distance**2) / 0.2) / 20
    return {"total": total}, total


def drifted(lr: float) -> float:
    progress: State = {"total": 0.0}
    for epoch in range(1, 21):
        progress, _ = drift(progress, {"lr": lr}, epoch)
    return progress["total"]


def test_a_population_follows_a_moving_optimum_that_no_fixed_value_can(tmp_path: Path) -> None:
    space = {"lr": LogUniform(min=1e-3, max=10)}
    toy = Toy(space=space, scheduler=Pbt(population=8, every=1, factor=1.5), epochs=20)
    best_fixed = max(drifted(10 ** (k / 100)) for k in range(-300, 101))

    together = final_values(run(toy, tmp_path, {"total": 0.0}, drift))

    assert len(together) == 8
    assert best_fixed == pytest.approx(0.39, abs=0.01)
    assert max(together) > 1.5 * best_fixed


FOUR = tuple({"lr": lr} for lr in (0.4, 0.3, 0.2, 0.1))


def four(**changes: object) -> Toy:
    """Of four trials the one with the least rate gives way at epochs 2 and 4."""
    toy = Toy(space={"lr": Uniform(min=0.01, max=1)}, scheduler=Pbt(population=4, every=2), epochs=6, points=FOUR)
    return toy.model_copy(update=changes)


def add_up(state: State, params: Numbers, epoch: int) -> tuple[State, float]:
    """The state is the sum of all rates so far, and the value is the rate."""
    return {"sum": state["sum"] + params["lr"], "epoch": epoch}, params["lr"]


def breaking(*rates: float, at: int, by: Callable[[], float]) -> Train:
    """As `add_up`, but at some epoch trials with some of the rates that were given come to grief."""

    def train(state: State, params: Numbers, epoch: int) -> tuple[State, float]:
        if epoch == at and params["lr"] in rates:
            return state, by()
        return add_up(state, params, epoch)

    return train


def nan() -> float:
    return math.nan


def crash() -> float:
    raise ZeroDivisionError


def state_of(trial: TrialRecord) -> State:
    assert trial.checkpoint is not None
    found: State = json.loads(Path(trial.checkpoint).read_text())
    return found


def test_whoever_is_worst_at_a_turn_gives_way_to_a_child_that_goes_on_from_the_state_of_the_best(
    tmp_path: Path,
) -> None:
    notes = Notes()

    trials = run(four(epochs=4), tmp_path, {"sum": 0.0}, add_up, notes)

    [*_, worst, child] = trials
    assert worst.end is not None
    assert (worst.end.kind, worst.end.epoch, worst.end.value) == (EndKind.STOPPED, 2, 0.1)
    assert worst.end.reason == {"exploited": 4, "rung": 2, "cutoff": 0.2, "rank": 4, "num_seen": 4}
    assert [decision.outcome for decision in worst.decisions] == [Outcome.PAUSES, Outcome.STOPS]
    assert [decision.outcome for decision in trials[0].decisions] == [Outcome.PAUSES, Outcome.CONTINUES]
    assert child.parent == notes.parents[4] == Parent(trial_id=0, epoch=2, replaces=3)
    assert child.values.keys() == {3, 4}
    lr = child.params["lr"]
    assert isinstance(lr, float)
    assert state_of(child) == {"sum": pytest.approx(2 * 0.4 + 2 * lr), "epoch": 4}
    assert [trial.parent for trial in trials[:4]] == [notes.parents[k] for k in range(4)] == [None] * 4
    assert Counter(end.kind for end in notes.ends.values()) == {EndKind.COMPLETE: 4, EndKind.STOPPED: 1}


def test_a_number_of_the_child_is_the_parents_times_or_by_the_factor_unless_drawn_anew(tmp_path: Path) -> None:
    toy = four(epochs=3, points=(), scheduler=Pbt(population=16, quantile=0.5, every=2, resample=0.0))

    trials = run(toy, tmp_path, {"sum": 0.0}, add_up)

    ratios = {
        float(str(trial.params["lr"])) / float(str(trials[trial.parent.trial_id].params["lr"]))
        for trial in trials
        if trial.parent is not None and trial.params["lr"] != 1.0
    }
    assert {round(ratio, 9) for ratio in ratios} == {1.2, 0.833333333}


def test_what_the_state_is_made_of_is_inherited_as_it_is(tmp_path: Path) -> None:
    toy = four(space={"lr": Uniform(min=0.01, max=1), "width": Uniform(min=0, max=1)}, inherited=("width",))

    trials = run(toy, tmp_path, {"sum": 0.0}, add_up)

    children = [trial for trial in trials if trial.parent is not None]
    assert len(children) == 2
    for child in children:
        assert child.parent is not None
        parent = trials[child.parent.trial_id]
        assert child.params["width"] == parent.params["width"]
        assert child.params["lr"] != parent.params["lr"]


def test_a_population_costs_as_many_epochs_as_its_members_without_turns(tmp_path: Path) -> None:
    trials = run(four(), tmp_path, {"sum": 0.0}, add_up)

    assert sum(len(trial.values) for trial in trials) == 4 * 6
    assert len(final_values(trials)) == 4


@pytest.mark.parametrize(("grief", "end"), [(nan, EndKind.DIVERGED), (crash, EndKind.FAILED)])
def test_a_child_takes_the_place_of_a_trial_that_came_to_grief_at_the_turn_that_it_missed(
    tmp_path: Path, grief: Callable[[], float], end: EndKind
) -> None:
    trials = run(four(epochs=4), tmp_path, {"sum": 0.0}, breaking(0.4, at=1, by=grief))

    lost, child = trials[0], trials[4]
    assert lost.end is not None
    assert lost.end.kind is end
    assert child.parent == Parent(trial_id=1, epoch=2)
    assert [trial.trial_id for trial in trials if trial.end and trial.end.kind is EndKind.COMPLETE] == [1, 2, 3, 4]


def test_a_place_that_is_lost_after_the_last_turn_stays_empty(tmp_path: Path) -> None:
    trials = run(four(epochs=4), tmp_path, {"sum": 0.0}, breaking(0.4, at=4, by=nan))

    assert Counter(trial.end.kind for trial in trials if trial.end) == {
        EndKind.COMPLETE: 3,
        EndKind.STOPPED: 1,
        EndKind.DIVERGED: 1,
    }


def test_a_population_that_has_all_diverged_has_no_children(tmp_path: Path) -> None:
    trials = run(four(), tmp_path, {"sum": 0.0}, breaking(0.4, 0.3, 0.2, 0.1, at=2, by=nan))

    assert [trial.end.kind for trial in trials if trial.end] == [EndKind.DIVERGED] * 4


def test_only_the_last_state_of_each_trial_stays_on_disk(tmp_path: Path) -> None:
    trials = run(four(), tmp_path, {"sum": 0.0}, add_up)

    assert {str(path) for path in tmp_path.glob("trial-*")} == {trial.checkpoint for trial in trials}


def test_lines_of_ancestors_repeat_with_the_seed_and_only_with_it(tmp_path: Path) -> None:
    toy = four(epochs=8, points=())

    first, again, other = (
        run(toy.model_copy(update={"seed": seed}), tmp_path / name, {"sum": 0.0}, add_up)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )

    def told(trials: list[TrialRecord]) -> list[object]:
        return [(trial.params, trial.values, trial.parent) for trial in trials]

    assert told(first) == told(again)
    assert told(first) != told(other)
    assert any(trial.parent and first[trial.parent.trial_id].parent for trial in first)


def test_parents_are_known_after_the_study_is_loaded_again(tmp_path: Path) -> None:
    toy = four()
    trials = run(toy, tmp_path, {"sum": 0.0}, add_up)

    with Study.open(tmp_path / "study.db", search_of(toy)) as study:
        loaded = study.trials()
        [asked] = study.ask(1)

    assert loaded == trials
    assert asked.parent is None


def test_children_use_up_no_points(tmp_path: Path) -> None:
    def asked_between_children() -> list[object]:
        with Study.open(tmp_path / "study.db", search_of(four())) as study:
            asked = [study.ask(1)[0].params["lr"]]
            study.descend({"lr": 0.9}, Parent(trial_id=0, epoch=2))
            return [*asked, study.ask(1)[0].params["lr"]]

    assert asked_between_children() + asked_between_children() == [0.4, 0.3, 0.2, 0.1]


@dataclass
class ByHand:
    """A driver over several slots, whose segments a test ends in an order of its own."""

    driver: Driver
    trainings: Trainings
    running: dict[int, Segment] = field(default_factory=dict)

    def begin(self) -> list[int]:
        """The trials of the next segment."""
        segment = self.driver.next_segment()
        assert isinstance(segment, Segment)
        ids = [spec.trial_id for spec in segment.cohort]
        self.running |= dict.fromkeys(ids, segment)
        return ids

    def end(self, trial_id: int) -> Segment:
        """Run the segment in which a trial trains."""
        segment = self.running.pop(trial_id)
        for message in self.trainings.run(segment):
            assert isinstance(message, Report)
            self.driver.on_report(message)
        self.driver.on_segment_end(SegmentEnd(segment=segment))
        return segment


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    toy = four()
    with Study.open(tmp_path / "study.db", search_of(toy)) as study:
        driver = Driver(toy, study, Notes(), lambda _: None, num_slots=lambda: 4, clock=lambda: 0.0)
        yield ByHand(driver, Trainings(tmp_path, {"sum": 0.0}, add_up))


def test_a_state_stays_on_disk_while_a_child_may_still_go_on_from_it(by_hand: ByHand, tmp_path: Path) -> None:
    state = tmp_path / "trial-0-epoch-2-0.json"
    assert [by_hand.begin() for _ in range(4)] == [[0], [1], [2], [3]]
    for trial_id in (0, 1, 2):
        by_hand.end(trial_id)
        assert by_hand.begin() == [trial_id]
    by_hand.end(0)  # its second segment, while trial 3 has not come to its first turn
    kept = {path.name for path in tmp_path.glob("trial-*")}

    by_hand.end(3)
    child = by_hand.begin()
    has_waited = state.exists()
    segment = by_hand.end(*child)

    assert kept == {f"trial-{number}-0.json" for number in ("0-epoch-2", "0-epoch-4", "1-epoch-2", "2-epoch-2")}
    assert (segment.from_epoch, segment.checkpoints) == (2, {4: str(state)})
    assert has_waited
    assert not state.exists()


def test_a_place_is_filled_as_soon_as_there_is_a_parent_for_it(by_hand: ByHand) -> None:
    by_hand.trainings = replace(by_hand.trainings, train=breaking(0.4, at=1, by=nan))
    assert [by_hand.begin() for _ in range(4)] == [[0], [1], [2], [3]]

    by_hand.end(0)  # diverges when nobody has come to a turn
    by_hand.end(1)
    by_hand.end(2)
    by_hand.end(3)  # the fourth: of four, one is the best, and trial 0 the worst

    assert {trial_id for _ in range(4) for trial_id in by_hand.begin()} == {1, 2, 3, 4}


def test_a_child_that_loses_its_worker_begins_again_from_its_parents_state(by_hand: ByHand) -> None:
    for _ in range(4):
        by_hand.begin()
    for trial_id in range(4):
        by_hand.end(trial_id)
    while 4 not in by_hand.running:
        by_hand.begin()
    first = by_hand.running.pop(4)

    by_hand.driver.on_segment_end(SegmentEnd(segment=first, lost="gone"))
    by_hand.begin()
    again = by_hand.end(4)

    assert (again.checkpoints, again.attempt) == (first.checkpoints, 1)


def test_a_trial_is_judged_when_it_could_go_on_by_all_that_have_come_by_then(by_hand: ByHand) -> None:
    for _ in range(4):
        by_hand.begin()

    by_hand.end(3)  # the worst comes first, and waits until there is room for it
    for trial_id in (2, 1, 0):
        by_hand.end(trial_id)

    assert [by_hand.begin() for _ in range(4)] == [[4], [2], [1], [0]]
    assert by_hand.driver.progress().ends == {EndKind.STOPPED: 1}


def test_a_child_that_the_sweep_ends_before_its_first_epoch_stands_where_it_began(
    by_hand: ByHand, tmp_path: Path
) -> None:
    for _ in range(4):
        by_hand.begin()
    for trial_id in range(4):
        by_hand.end(trial_id)
    while 4 not in by_hand.running:
        by_hand.begin()
    by_hand.end(0)  # goes on, so that its state at epoch 2 is of use to the child alone
    by_hand.driver.end_waiting("interrupted")

    trials = read_trials(tmp_path / "study.db", four().space)

    assert trials[4].end == End(kind=EndKind.STOPPED, epoch=2, reason={"sweep_ended": "interrupted"})
    assert trials[4].checkpoint is None
    assert {str(path) for path in tmp_path.glob("trial-*")} == {trial.checkpoint for trial in trials[:4]}
