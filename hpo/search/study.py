"""The search memory of one sweep."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.errors import SpaceError, StudyError
from hpo.paths import SweepPaths
from hpo.records import End, EndKind, Goal, Params, Report, TrialRecord
from hpo.search.distributions import decode_all, distribution_of, encode
from hpo.search.mirror import Mirror
from hpo.search.samplers import Sampler
from hpo.search.storage import STUDY_NAME, opened, owned, read_only
from hpo.spaces.domain import Domain

_END = "end"
_CHECKPOINT = "checkpoint"
_DERIVED = "derived"
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

    The truth is an Optuna study in SQLite, written once per event and read only when it is opened. Proposals come from
    a mirror of it in memory. Use as a context manager, or call `close`.
    """

    def __init__(
        self,
        space: Mapping[str, Domain],
        metric: str,
        points: Sequence[Params],
        storage: RDBStorage,
        mirror: Mirror,
        resources: ExitStack,
        derive: Callable[[Params], Params],
    ) -> None:
        self._space = space
        self._metric = metric
        self._points = points
        self._derive = derive
        self._storage = storage
        self._mirror = mirror
        self._resources = resources
        self._distributions = _distributions(space)
        self._study_id = storage.get_study_id_from_name(STUDY_NAME)
        self._records: dict[int, TrialRecord] = {}
        self._rows: dict[int, int] = {}  # trial_id -> the database's own id
        self._checkpoint_epochs: dict[int, int] = {}

    @classmethod
    def open(
        cls,
        storage: Path,
        *,
        space: Mapping[str, Domain],
        metric: str,
        goal: Goal,
        sampler: Sampler,
        seed: int,
        points: Sequence[Params] = (),
        derive: Callable[[Params], Params] = lambda _: {},
    ) -> Self:
        """Create the study, or load it as it was left: trials without an end are listed, and can be trained on.

        Args:
            storage: the database file, in a folder of the sweep's own.
            space: dotted recipe path -> domain.
            metric: the name under which reports hold the objective.
            goal: which way it is better.
            sampler: proposes params.
            seed: of all proposals.
            points: tried first; what a point leaves open is proposed.
            derive: what else follows from the proposed values: kept with a trial's params, but nothing to learn from.

        Raises:
            StudyError: if the file is not a study, was made for another space, metric or goal, or has another driver.
            SpaceError: if a point lies outside the space.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _check_points(points, space)
        direction = StudyDirection.MAXIMIZE if goal is Goal.MAXIMIZE else StudyDirection.MINIMIZE
        origin = {
            "space": {path: domain.as_tree() for path, domain in space.items()},
            "metric": metric,
            "goal": goal.value,
        }
        with ExitStack() as resources:
            resources.enter_context(owned(SweepPaths(storage.parent).lock))
            database = resources.enter_context(opened(storage, direction, origin))
            mirror = Mirror(_distributions(space), direction, sampler, seed)
            study = cls(space, metric, points, database, mirror, resources.pop_all(), derive)
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

    def ask(self, num: int) -> list[TrialRecord]:
        """Propose `num` trials, each knowing that those before it run."""
        return [self._ask_one() for _ in range(num)]

    def record(self, report: Report) -> None:
        """Remember what a trial measured, and its checkpoint.

        Only the first report of an epoch counts, and none after the trial's end.

        Raises:
            StudyError: if the metric is missing from the report of a trial that has not diverged.
        """
        record = self._record_of(report.trial_id)
        if record.end is not None:
            return
        value = report.metrics.get(self._metric)
        if value is not None:
            record = self._with_value(record, report.epoch, value)
        elif report.first_bad_step is None:
            raise StudyError(
                f"trial {report.trial_id}, epoch {report.epoch}: a report must hold the metric {self._metric!r}, but "
                f"holds {', '.join(report.metrics) or 'none'}. Report it, or name one of these as the sweep's metric."
            )
        if report.checkpoint is not None:
            self._keep_checkpoint(record, report.epoch, report.checkpoint)

    def tell(self, trial_id: int, end: End) -> None:
        """End a trial; only its first end counts.

        Raises:
            StudyError: if it is complete without a finite value.
        """
        record = self._record_of(trial_id)
        if record.end is not None:
            return
        if end.kind is EndKind.COMPLETE and (end.value is None or not math.isfinite(end.value)):
            raise StudyError(
                f"trial {trial_id}: a complete trial must have a finite {self._metric}, but has {end.value}. "
                "Tell it as diverged."
            )
        if end.value is not None:
            record = self._with_value(record, end.epoch, end.value)
        self._storage.set_trial_user_attr(self._rows[trial_id], _END, asdict(end))
        self._finish(record, end)

    def trials(self) -> list[TrialRecord]:
        """All trials by `trial_id`, those that run included."""
        return list(self._records.values())

    def _ask_one(self) -> TrialRecord:
        num_asked = len(self._records)
        point = self._points[num_asked] if num_asked < len(self._points) else {}
        params = self._mirror.propose({path: encode(self._space[path], value) for path, value in point.items()})
        derived = self._derive(decode_all(params, self._space))
        trial = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=self._distributions,
            user_attrs={_DERIVED: derived} if derived else {},
        )
        row = self._storage.create_new_trial(self._study_id, template_trial=trial)
        return self._remember(self._storage.get_trial_number_from_id(row), row, trial)

    def _remember(self, number: int, row: int, trial: FrozenTrial) -> TrialRecord:
        self._rows[number] = row
        self._records[number] = TrialRecord(trial_id=number, params=_params(trial, self._space))
        return self._records[number]

    def _with_value(self, record: TrialRecord, epoch: int, value: float) -> TrialRecord:
        if epoch not in record.values:
            self._storage.set_trial_intermediate_value(self._rows[record.trial_id], epoch, value)
            record = replace(record, values={**record.values, epoch: value})
            self._records[record.trial_id] = record
        return record

    def _keep_checkpoint(self, record: TrialRecord, epoch: int, checkpoint: str) -> None:
        """Written after the value: a death in between leaves a trial that trains this segment again."""
        if epoch > self._checkpoint_epochs.get(record.trial_id, 0):
            kept = {"epoch": epoch, "file": checkpoint}
            self._storage.set_trial_user_attr(self._rows[record.trial_id], _CHECKPOINT, kept)
            self._checkpoint_epochs[record.trial_id] = epoch
            self._records[record.trial_id] = replace(record, checkpoint=checkpoint)

    def _finish(self, record: TrialRecord, end: End) -> None:
        """Written after the end itself: a death in between is mended when the study is opened again."""
        state = _STATES[end.kind]
        counts = state is not TrialState.FAIL and end.value is not None and math.isfinite(end.value)
        values = [end.value] if end.value is not None and counts else None
        self._storage.set_trial_state_values(self._rows[record.trial_id], state, values)
        self._show_end(record, end)

    def _show_end(self, record: TrialRecord, end: End) -> None:
        self._mirror.end(record.trial_id, record.values, end)
        self._records[record.trial_id] = replace(record, end=end)

    def _record_of(self, trial_id: int) -> TrialRecord:
        if trial_id not in self._records:
            raise StudyError(
                f"trial {trial_id}: must be one that was asked for, but the study holds {len(self._records)} others. "
                "Ask first."
            )
        return self._records[trial_id]

    def _restore_all(self) -> None:
        for frozen in self._storage.get_all_trials(self._study_id):
            if frozen.params.keys() == self._distributions.keys():
                self._restore(frozen)
                continue
            self._mirror.skip()
            if not frozen.state.is_finished():  # its process died inside `ask`
                self._storage.set_trial_state_values(frozen._trial_id, TrialState.FAIL)

    def _restore(self, frozen: FrozenTrial) -> None:
        self._mirror.add(frozen.params)
        record = self._remember(frozen.number, frozen._trial_id, frozen)
        checkpoint = frozen.user_attrs.get(_CHECKPOINT, {"epoch": 0, "file": None})
        self._checkpoint_epochs[frozen.number] = checkpoint["epoch"]
        record = replace(record, values=dict(frozen.intermediate_values), checkpoint=checkpoint["file"])
        self._records[frozen.number] = record
        if _END in frozen.user_attrs:
            end = _as_end(frozen.user_attrs[_END])
            finish = self._show_end if frozen.state.is_finished() else self._finish
            finish(record, end)


def read_trials(storage: Path, space: Mapping[str, Domain]) -> list[TrialRecord]:
    """All trials of a study by `trial_id`, as they stand; its driver is not disturbed.

    Raises:
        StudyError: if the file is not a study.
    """
    with read_only(storage) as database:
        frozen = database.get_all_trials(database.get_study_id_from_name(STUDY_NAME))
    return [_as_record(trial, space) for trial in frozen if trial.params.keys() == space.keys()]


def _as_record(frozen: FrozenTrial, space: Mapping[str, Domain]) -> TrialRecord:
    end = frozen.user_attrs.get(_END)
    return TrialRecord(
        trial_id=frozen.number,
        params=_params(frozen, space),
        values=dict(frozen.intermediate_values),
        end=None if end is None else _as_end(end),
        checkpoint=frozen.user_attrs.get(_CHECKPOINT, {"file": None})["file"],
    )


def _params(trial: FrozenTrial, space: Mapping[str, Domain]) -> Params:
    """What was proposed, and what was derived from it."""
    return {**decode_all(trial.params, space), **trial.user_attrs.get(_DERIVED, {})}


def _distributions(space: Mapping[str, Domain]) -> dict[str, optuna.distributions.BaseDistribution]:
    """Sorted, so that proposals do not hang on the order in a file."""
    return {path: distribution_of(domain) for path, domain in sorted(space.items())}


def _as_end(tree: dict[str, Any]) -> End:
    return End(**{**tree, "kind": EndKind(tree["kind"])})


def _check_points(points: Sequence[Params], space: Mapping[str, Domain]) -> None:
    for number, point in enumerate(points):
        for path, value in point.items():
            if path not in space or not space[path].contains(value):
                domain = space.get(path)
                raise SpaceError(
                    f"points[{number}].{path}: must lie in the space, but {value} does not lie in "
                    f"{domain if domain is not None else 'it'}. Change the point, or widen the space."
                )
