"""list_states(): how sweeps stand, from what lies on disk; their drivers are not disturbed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hpo.driver.again import FAILED_ALIKE
from hpo.errors import EnsembleError, HpoError, StudyError
from hpo.files import list_files
from hpo.folders.notice import Notice, read_notice
from hpo.harvest.assembly import Left, read_left
from hpo.paths import SweepPaths
from hpo.progress import EnsembleSoFar
from hpo.records import Logbook, TrialRecord
from hpo.results.table import find_best
from hpo.scheduling import Budget, full_budget
from hpo.search.database import is_begun, owner_of
from hpo.search.places import Place, Shared
from hpo.search.reading import read_study
from hpo.search.storage import Owner
from hpo.sweep import AnySweep, load_any
from hpo.tracking.spool import num_waiting
from hpo.tracking.tracker import SweepStatus
from hpo.uris import masked


class State(StrEnum):
    """What is to be known first of a sweep."""

    NOT_BEGUN = "not begun"
    """It has asked for no trial."""
    RUNNING = "running"
    PAUSED = "paused"
    """Its driver has left everything in order."""
    LOST = "lost"
    """Its driver died."""
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Trial after trial failed alike."""
    UNKNOWN = "unknown"
    """What it is kept in cannot be read."""

    @property
    def goes_on(self) -> bool:
        """Whether somebody must resume it for it to come to its end."""
        return self in (State.NOT_BEGUN, State.PAUSED, State.LOST)


@dataclass(frozen=True, kw_only=True)
class SweepState:
    """How a sweep stands. Where it is unknown, so is all that is read from where the `problem` lies."""

    paths: SweepPaths
    state: State
    problem: str | None = None
    """Why it is unknown, or what else cannot be read."""
    sweep: AnySweep | None = None
    """As it was asked for."""
    budget: Budget | None = None
    """What may be spent in all."""
    driver: str | None = None
    """Who runs it."""
    waits: Sequence[str] = ()
    """What the work of a running sweep waits for, a sentence each."""
    trials: Mapping[str, int] = field(default_factory=dict)
    """How many are running, waiting, or have come to which end: cancelled, where that was the sweep's."""
    num_proposed: int = 0
    """Trials that count for the budget."""
    num_epochs: int = 0
    """Trained, over all trials."""
    elapsed_s: float = 0.0
    """Without the time for which the sweep was left alone."""
    began_s: float | None = None
    """When it was begun, in seconds since the epoch."""
    ended: str | None = None
    """Why it is at its end, if it is."""
    best: TrialRecord | None = None
    so_far: EnsembleSoFar | None = None
    """The ensemble of a running sweep, as its driver last selected it; none where it has none."""
    states_bytes: int | None = None
    """That its training states take; none where they were not `measured`."""
    ensemble: Left | None = None
    """That was left with it; none where there is none, or it was not `measured`."""
    num_untold: int = 0
    """Entries that MLflow has yet to get."""

    @property
    def best_value(self) -> float | None:
        """What the best trial measured last."""
        if self.best is None:
            return None
        return self.best.values[max(self.best.values)] if self.best.end is None else self.best.end.value

    @property
    def num_ended(self) -> int:
        """Trials that have come to an end."""
        return sum(self.trials.values()) - self.trials.get("running", 0) - self.trials.get("waiting", 0)


def list_states(sweeps: Iterable[SweepPaths], now_s: float) -> list[SweepState]:
    """The newest sweep first. A server that does not answer is asked once; what cannot be read costs one row.

    Args:
        sweeps: where they lie.
        now_s: seconds since the epoch.
    """
    away: set[str] = set()
    states = [_look_at(paths, now_s, away) for paths in sweeps]
    return sorted(states, key=lambda state: state.began_s or 0.0, reverse=True)


def measured(state: SweepState) -> SweepState:
    """With what its training states take, and its ensemble; what cannot be read is its problem."""
    if state.sweep is None:
        return state
    folder = state.sweep.storage.located(state.paths).states
    try:
        state = replace(state, ensemble=read_left(state.paths.ensemble))
        return replace(state, states_bytes=sum(list_files(folder).values()))
    except EnsembleError as error:
        return replace(state, problem=str(error))
    except OSError as error:
        why = masked(str(error))
        return replace(state, problem=f"{masked(folder)}: states must lie there, but it does not answer ({why}).")


def _look_at(paths: SweepPaths, now_s: float, away: set[str]) -> SweepState:
    try:
        return _read(paths, load_any(paths.resolved), now_s, away)
    except (HpoError, OSError) as error:
        return SweepState(
            paths=paths,
            state=State.UNKNOWN,
            problem=str(error),
            began_s=_began_s(paths),
            num_untold=num_waiting(paths.outbox),
        )


def _read(paths: SweepPaths, sweep: AnySweep, now_s: float, away: set[str]) -> SweepState:
    place = sweep.storage.place(paths)
    driver, notice = _owner_of(place, away), read_notice(paths.notice)
    records, logbook = read_study(place, sweep.space) if is_begun(place) else ([], None)
    ended = None if logbook is None else logbook.ended
    budget = full_budget(sweep.budget, sweep.chosen.scheduler, sweep.epochs)
    num_proposed = sum(record.is_proposed for record in records)
    is_asked = num_proposed >= budget.trials or paths.stop.exists()
    if ended is None and records and is_asked and all(record.end is not None for record in records):
        ended = "all trials are through"
    state = _state(driver, notice, records, ended)
    said = notice if driver is not None and notice is not None and _is_by(notice, driver) else None
    return SweepState(
        paths=paths,
        state=state,
        sweep=sweep,
        budget=budget,
        driver=None if driver is None else str(driver),
        waits=() if said is None else said.waits,
        so_far=None if said is None else said.ensemble,
        trials=_count(records, logbook, state),
        num_proposed=num_proposed,
        num_epochs=sum(_reached(record) - _begun_at(record) for record in records),
        elapsed_s=_elapsed_s(logbook, said, now_s),
        began_s=_began_s(paths),
        ended=ended,
        best=find_best(records, sweep.metric.goal),
        num_untold=num_waiting(paths.outbox),
    )


def _state(driver: Owner | None, notice: Notice | None, records: Sequence[TrialRecord], ended: str | None) -> State:
    """The lock says who runs it, the study how far it is, and the notice whether it was left in order."""
    if driver is not None:
        return State.RUNNING
    if ended is not None:
        return _ENDS.get(ended, State.FINISHED)
    if not records:
        return State.NOT_BEGUN
    return State.PAUSED if notice is None else State.LOST


_ENDS = {SweepStatus.CANCELLED.value: State.CANCELLED, FAILED_ALIKE: State.FAILED}


def _owner_of(place: Place, away: set[str]) -> Owner | None:
    """See `owner_of`; a server among `away` is not asked again."""
    if not isinstance(place, Shared):
        return owner_of(place)
    if place.url in away:
        raise StudyError(
            f"{masked(place.url)}: study {place.name}: the database did not answer a moment ago. Start it."
        )
    try:
        return owner_of(place)
    except StudyError:
        away.add(place.url)
        raise


def _is_by(notice: Notice, driver: Owner) -> bool:
    """A server may have cut the name of its driver."""
    return notice.driver.startswith(str(driver))


def _count(records: Sequence[TrialRecord], logbook: Logbook | None, state: State) -> dict[str, int]:
    legs = () if logbook is None or state is not State.RUNNING else logbook.legs
    under_way = {trial_id: leg.to_epoch for leg in legs if leg.is_out for trial_id in leg.trial_ids}
    return dict(Counter(_word(record, under_way.get(record.trial_id, 0)) for record in records))


def _word(record: TrialRecord, to_epoch: int) -> str:
    if record.end is None:
        return "running" if _reached(record) < to_epoch else "waiting"
    is_cancelled = record.end.reason.get("sweep_ended") == SweepStatus.CANCELLED.value
    return "cancelled" if is_cancelled else record.end.kind.value


def _reached(record: TrialRecord) -> int:
    end = 0 if record.end is None else record.end.epoch
    return max([*record.values, end, _begun_at(record)])


def _begun_at(record: TrialRecord) -> int:
    return 0 if record.parent is None else record.parent.epoch


def _elapsed_s(logbook: Logbook | None, said: Notice | None, now_s: float) -> float:
    """A logbook is written when something is handed out, and at the end."""
    if said is not None:
        return said.elapsed_s + now_s - said.began_s
    return 0.0 if logbook is None else logbook.elapsed_s


def _began_s(paths: SweepPaths) -> float | None:
    """When its folder was made; the file itself is written anew when it is given more."""
    for path in (paths.code, paths.resolved):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return None
