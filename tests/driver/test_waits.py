"""What the work of a sweep waits for, as it is told from between driver and executor."""

from pathlib import Path

import pytest

from hpo.driver.waits import Waits
from hpo.records import Idle, Report, Segment, SegmentEnd
from hpo.scheduling import NoScheduler
from hpo.sweep import Sweep
from hpo.tracking.tracker import NullTracker
from tests.driving import Bench, Workers, make_sweep, well


class Cluster(Workers):
    """Says what it is told to say."""

    need: str | None = None

    def unmet(self) -> str | None:
        return self.need

    def interrupt(self) -> None:
        raise NotImplementedError


class Away(NullTracker):
    """MLflow is."""

    def problem(self) -> str | None:
        return "ConnectionError: refused"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sweep_of(num_trials: int) -> Sweep:
    return make_sweep(num_trials=num_trials, epochs=1, scheduler=NoScheduler())


def test_slots_that_are_taken_and_slots_that_idle_are_told(bench: Bench) -> None:
    cluster = Cluster(well, num_slots=2)
    with bench.open(sweep_of(2)) as study:
        driver = bench.driver(sweep_of(2), study, 2)
        waits = Waits(driver, cluster, NullTracker())
        said = [waits.sentences()]
        first = waits.next_segment()
        said.append(waits.sentences())
        waits.next_segment()
        said.append(waits.sentences())
        assert isinstance(first, Segment)
        for report in well(first):
            assert isinstance(report, Report)
            driver.on_report(report)
        waits.on_segment_end(SegmentEnd(segment=first))
        answer = waits.next_segment()
        said.append(waits.sentences())

    assert answer is Idle.WAIT
    assert said == [
        [],
        [],
        ["all 2 slots are taken"],
        ["1 of 2 slots: nothing to train until a running segment ends"],
    ]


def test_what_was_lost_trains_again_and_why_is_told(bench: Bench) -> None:
    with bench.open(sweep_of(1)) as study:
        waits = Waits(bench.driver(sweep_of(1), study, 1), Cluster(well), NullTracker())
        first = waits.next_segment()
        assert isinstance(first, Segment)
        waits.on_segment_end(SegmentEnd(segment=first, lost="the worker process died"))
        waits.next_segment()

        assert waits.sentences() == ["the one slot is taken", "1 trial trains again: the worker process died"]


def test_what_the_cluster_lacks_and_that_mlflow_is_away_is_told(bench: Bench) -> None:
    cluster = Cluster(well)
    cluster.need = "1 segment waits"
    with bench.open(sweep_of(1)) as study:
        waits = Waits(bench.driver(sweep_of(1), study, 1), cluster, Away())

        assert waits.sentences() == [
            "1 segment waits",
            "MLflow does not take what it is told, which waits, though training does not: ConnectionError: refused",
        ]
