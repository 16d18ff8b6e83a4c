"""The search memory of one sweep."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self, final

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.errors import StudyError
from hpo.records import Decision, End, EndKind, Logbook, Params, Parent, Report, TrialRecord
from hpo.search.database import Database, owned
from hpo.search.distributions import Stored, encode
from hpo.search.places import Place
from hpo.search.proposer import Foresight
from hpo.search.reading import (
    DECISIONS,
    DERIVED,
    END,
    KEPT,
    PARENT,
    REPEATS,
    as_kept,
    as_logbook,
    as_record,
    begun,
)
from hpo.search.rows import Row, ended, measured, noted, noted_of_study
from hpo.search.storage import LOGBOOK
from hpo.search.terms import Search

_STATES = {
    EndKind.COMPLETE: TrialState.COMPLETE,
    EndKind.STOPPED: TrialState.PRUNED,
    EndKind.DIVERGED: TrialState.PRUNED,
    EndKind.FAILED: TrialState.FAIL,
    EndKind.TIMED_OUT: TrialState.FAIL,
}


@final
class Study:
    """Proposes trials and remembers them; what a method has returned from survives the end of the process.

    The truth is an Optuna study in a database, written in a transaction for each event and read only when it is opened.
    Proposals come from a search in memory that is shown the same. Use as a context manager, or call `close`.
    """

    def __init__(self, search: Search, storage: Database, study_id: int, resources: ExitStack) -> None:
        self._search = search
        self._storage = storage
        self._resources = resources
        self._proposer = search.sampler.begin(search.problem)
        self._shape = search.shape
        self._distributions = self._shape.distributions
        self._study_id = study_id
        self._records: dict[int, TrialRecord] = {}
        self._num_asked = 0
        self._num_begun = 0  # in the database
        self._rows: dict[int, int] = {}  # trial_id -> the database's own id

    @classmethod
    def open(cls, place: Place, search: Search) -> Self:
        """Create the study, or load it as it was left: trials without an end are listed, and can be trained on.

        Args:
            place: of the study; a file must lie in a folder of the sweep's own.
            search: what it is asked for.

        Raises:
            StudyError: if the place holds no study, or one that has another space, metric, goal or driver.
            SpaceError: if a point lies outside the space.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search.check_points()
        with ExitStack() as resources:
            database, study_id = resources.enter_context(owned(place, search.directions, search.origin))
            study = cls(search, database, study_id, resources.pop_all())
        study._restore_all()
        return study

    def close(self) -> None:
        """Let another driver have the study."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, num: int, waiting: Collection[int] = ()) -> list[TrialRecord]:
        """Propose `num` trials, each knowing that those before it run, but for those that wait in line."""
        places = range(self._num_asked, self._num_asked + num)
        return self._begin([(self._propose(place, waiting), {}) for place in places])

    def descend(self, params: Params, parent: Parent) -> TrialRecord:
        """Begin a trial that nobody has proposed: it goes on from the state of another."""
        stored = self._stored(params)
        self._proposer.add(stored)
        return self._begin([(stored, {PARENT: asdict(parent)})])[0]

    def repeat(self, trial_id: int, seed_index: int) -> TrialRecord:
        """Begin a trial with the params of another, on luck of its own; whoever proposes never hears of it."""
        stored = self._stored(self.trial(trial_id).params)
        self._proposer.skip()
        return self._begin([(stored, {REPEATS: {"trial_id": trial_id, "seed_index": seed_index}})])[0]

    def completed(self, params: Params) -> Params:
        """The values that were searched, and what else follows from them."""
        return {**params, **self._search.derive(params)}

    def gains(self, waiting: Mapping[int, int]) -> tuple[dict[int, float], float]:
        """What waiting trials and a new one promise; see `Foresight`.

        Raises:
            StudyError: if the sampler has no model of curves.
        """
        if not isinstance(self._proposer, Foresight):
            raise StudyError("only sampler.kind curves says what trials promise. Use it.")
        return self._proposer.gains(waiting)

    def record(self, report: Report) -> TrialRecord:
        """Remember what a trial measured, and its checkpoint; returned is the trial as it stands.

        Only the first report of an epoch counts, and none after the trial's end.

        Raises:
            StudyError: if the metric is missing from the report of a trial that has not diverged.
        """
        record = self.trial(report.trial_id)
        if record.end is not None:
            return record
        value = report.metrics.get(self._search.metric)
        if value is None and report.first_bad_step is None:
            raise StudyError(
                f"trial {report.trial_id}, epoch {report.epoch}: a report must hold the metric "
                f"{self._search.metric!r}, but holds {', '.join(report.metrics) or 'none'}. Report it, or name one of "
                "these as the sweep's metric."
            )
        rows = []
        if report.checkpoint is not None and (record.kept is None or report.epoch > record.kept.epoch):
            record = replace(record, kept=report, states={**record.states, report.epoch: report.checkpoint})
            rows.append(noted(self._rows[record.trial_id], KEPT, as_kept(report, record.states)))
        return self._keep(record, report.epoch, value, rows)

    @property
    def logbook(self) -> Logbook | None:
        """As the last driver left it; none before the first."""
        tree = self._storage.get_study_user_attrs(self._study_id).get(LOGBOOK)
        return None if tree is None else as_logbook(tree)

    def log(self, logbook: Logbook) -> None:
        """Leave it to the next driver."""
        self._storage.write([noted_of_study(self._study_id, LOGBOOK, asdict(logbook))])

    def decide(self, decisions: Mapping[int, Decision]) -> None:
        """Remember what was decided of trials at a rung, of all or of none; nothing is after a trial's end."""
        before = [record for record in map(self.trial, decisions) if record.end is None]
        decided = [replace(each, decisions=(*each.decisions, decisions[each.trial_id])) for each in before]
        trees = {each.trial_id: [asdict(decision) for decision in each.decisions] for each in decided}
        self._storage.write([noted(self._rows[trial_id], DECISIONS, tree) for trial_id, tree in trees.items()])
        for record in decided:
            if self._records[record.trial_id].is_paused:
                self._proposer.resume(record.trial_id)
            self._records[record.trial_id] = record
            if record.is_paused:
                self._show_pause(record)

    def tell(self, trial_id: int, end: End) -> TrialRecord:
        """End a trial; only its first end counts. Returned is the trial as it stands.

        Raises:
            StudyError: if it is complete without a finite value of every metric.
        """
        record = self.trial(trial_id)
        if record.end is not None:
            return record
        for metric, value in self._search.reached(end).items():
            if end.kind is EndKind.COMPLETE and (value is None or not math.isfinite(value)):
                raise StudyError(
                    f"trial {trial_id}: a complete trial must have a finite {metric}, but has {value}. "
                    "Tell it as diverged."
                )
        rows = ended(self._rows[trial_id], _STATES[end.kind], self._reached(end))
        told = noted(self._rows[trial_id], END, asdict(end))
        self._show_end(self._keep(record, end.epoch, end.value, [told, *rows]), end)
        return self._records[trial_id]

    def trials(self) -> list[TrialRecord]:
        """All trials by `trial_id`, those that run included."""
        return list(self._records.values())

    def trial(self, trial_id: int) -> TrialRecord:
        """One of them.

        Raises:
            StudyError: if it was never asked for.
        """
        if trial_id not in self._records:
            raise StudyError(
                f"trial {trial_id}: must be one that was asked for, but the study holds {len(self._records)} others. "
                "Ask first."
            )
        return self._records[trial_id]

    def _propose(self, place: int, waiting: Collection[int]) -> dict[str, Stored]:
        points = self._search.points
        return self._proposer.propose(self._stored(points[place] if place < len(points) else {}), waiting)

    def _stored(self, params: Params) -> dict[str, Stored]:
        """Those that are searched, as the database holds them."""
        searched = [path for path in self._distributions if path in params]
        return {path: encode(self._search.space[path], params[path]) for path in searched}

    def _begin(self, asked: Sequence[tuple[Mapping[str, Stored], Mapping[str, Any]]]) -> list[TrialRecord]:
        """Trials with these params and attributes, all or none."""
        trials = [self._made(*each) for each in asked]
        rows = self._storage.begin(self._study_id, trials, self._num_begun)
        numbers = itertools.count(self._num_begun)
        self._num_begun += len(trials)
        return list(map(self._remember, numbers, rows, trials))

    def _made(self, params: Mapping[str, Stored], attributes: Mapping[str, Any]) -> FrozenTrial:
        derived = self._search.derive(self._shape.values(params))
        return create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions={name: self._distributions[name] for name in params},
            user_attrs={**attributes, DERIVED: derived} if derived else dict(attributes),
        )

    def _remember(self, number: int, row: int, trial: FrozenTrial) -> TrialRecord:
        self._rows[number] = row
        record = self._records[number] = replace(begun(trial, self._shape), trial_id=number)
        self._num_asked += record.is_proposed
        return record

    def _keep(self, record: TrialRecord, epoch: int, value: float | None, rows: Sequence[Row]) -> TrialRecord:
        """A trial as it stands now, and what it measured, if that is the first of its epoch: all or none."""
        trial_id, is_known = record.trial_id, epoch in record.values
        if value is not None and not is_known:
            rows = [measured(self._rows[trial_id], epoch, value), *rows]
            record = replace(record, values={**record.values, epoch: value})
        self._storage.write(rows)
        self._records[trial_id] = record
        if value is not None and not is_known and record.repeats is None:
            self._proposer.report(trial_id, epoch, value)
        return record

    def _reached(self, end: End) -> list[float]:
        """The values of all objectives, as the database holds them; none where one is missing, or of no use."""
        reached = self._search.reached(end).values()
        values = [value for value in reached if value is not None and math.isfinite(value)]
        return values if _STATES[end.kind] is not TrialState.FAIL and len(values) == len(reached) else []

    def _show_pause(self, record: TrialRecord) -> None:
        """As one that was stopped where it stands: it may wait until the sweep ends."""
        epoch = record.decisions[-1].rung
        stopped = End(kind=EndKind.STOPPED, epoch=epoch, value=record.values.get(epoch))
        self._proposer.end(record.trial_id, record.values, stopped)

    def _show_end(self, record: TrialRecord, end: End) -> None:
        if record.is_paused:
            self._proposer.resume(record.trial_id)
        if record.repeats is None:
            self._proposer.end(record.trial_id, record.values, end)
        self._records[record.trial_id] = replace(record, end=end)

    def _restore_all(self) -> None:
        for frozen in self._storage.get_all_trials(self._study_id):
            self._num_begun += 1
            if self._shape.is_whole(frozen.params):
                self._restore(frozen)
                continue
            self._proposer.skip()
            if not frozen.state.is_finished():  # its process died inside `ask`
                self._storage.write(ended(frozen._trial_id, TrialState.FAIL))

    def _restore(self, frozen: FrozenTrial) -> None:
        whole = as_record(frozen, self._shape)
        if whole.repeats is None:
            self._proposer.add(frozen.params)
            for epoch, value in frozen.intermediate_values.items():
                self._proposer.report(frozen.number, epoch, value)
        else:
            self._proposer.skip()
        self._remember(frozen.number, frozen._trial_id, frozen)
        record = replace(whole, end=None)
        self._records[frozen.number] = record
        if record.is_paused:
            self._show_pause(record)
        if whole.end is not None:
            self._show_end(record, whole.end)
