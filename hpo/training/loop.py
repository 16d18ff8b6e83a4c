"""Training a segment: recipes, seeds and checkpoints in, reports and checkpoints out."""

import logging
import math
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch

from hpo.disk import is_for_want_of_room
from hpo.paths import SweepPaths
from hpo.records import Begun, Failure, Message, Report, Segment, TrialSpec
from hpo.training.checkpoint import read_checkpoint, write_checkpoint
from hpo.training.choice import LaneChoice, make_program
from hpo.training.course import best_state, concluded, follow
from hpo.training.diagnostics.diagnose import diagnose
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.program import Program, first_steps, initial_state
from hpo.training.ranks import ALONE, Ranks
from hpo.training.recipe import Recipe, signature
from hpo.training.state import Course, Tensors, TrialState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Standing:
    """A trial of the cohort, ready to train."""

    spec: TrialSpec
    recipe: Recipe
    state: TrialState
    """At the beginning of the segment."""
    course: Course
    """As it stands now."""


def train(
    segment: Segment, data: TrainingData, paths: SweepPaths, choice: LaneChoice, ranks: Ranks = ALONE
) -> Iterator[Message]:
    """Train every trial of the cohort from one epoch to the other; one report per trial and epoch.

    Trials of one signature train side by side, as many as `choice` says. A trial's last report follows its
    checkpoint, so it never speaks of a state that is not on disk. A trial whose code raises yields a failure and the
    others go on, unless the disk is full; one whose loss is not finite reports so and ends, as does one that early
    stopping ends. torch's global generator is left as it was. Where trials have limits, one that has passed its own
    trains no more, and whoever might hang next is named before. Several `ranks` do all of this together; only the first
    writes checkpoints, and after a failure that not all of them have, they are out of step and of no more use.
    """
    standing: list[_Standing] = []
    for spec in segment.cohort:
        yield from _begun([spec], segment)
        try:
            with torch.random.fork_rng(devices=[]):
                standing.append(_prepare(spec, segment, data))
        except Exception as error:  # noqa: BLE001 - whatever a trial raises becomes its record
            yield _failure(spec, error)
    for group in _groups(standing):
        yield from _begun([trial.spec for trial in group], segment)
        for chunk in _chunks(group, _num_lanes(choice, group)):
            for message in _train_chunk(chunk, segment, data, paths, ranks):
                yield message
                if isinstance(message, Failure) and message.is_disk_full:
                    return


def _train_chunk(
    chunk: Sequence[_Standing], segment: Segment, data: TrainingData, paths: SweepPaths, ranks: Ranks
) -> Iterator[Message]:
    """Side by side; if that raises, in halves where memory ran out, else each alone: the same reports again.

    A trial alone for which memory ran out accumulates its gradients, over micro-batches half as large as before; not
    one of several ranks, for the others' memory may have sufficed. On a full disk it is the first that fails, for all.
    """
    yield from _begun([trial.spec for trial in chunk], segment)
    try:
        with torch.random.fork_rng(devices=[]):
            yield from _train_together(chunk, segment, data, paths, ranks)
        smaller = []
    except Exception as error:  # noqa: BLE001 - see train
        smaller = [] if is_for_want_of_room(error) or ranks.number > 1 else _smaller(chunk, error)
        if not smaller:
            yield _failure(chunk[0].spec, error)
    for part in smaller:  # without the error, which holds what did not fit
        yield from _train_chunk(part, segment, data, paths, ranks)


def _smaller(chunk: Sequence[_Standing], error: Exception) -> list[Sequence[_Standing]]:
    """What to try in place of a chunk that raised; nothing if there is nothing left to try."""
    is_full = isinstance(error, torch.OutOfMemoryError)
    if len(chunk) > 1:
        size = math.ceil(len(chunk) / 2) if is_full else 1
        logger.warning("%d trials cannot train side by side (%s); %d at a time now.", len(chunk), error, size)
        return [chunk[first : first + size] for first in range(0, len(chunk), size)]
    trial = chunk[0]
    whole = trial.state.micro_batch or trial.recipe.batch_size_at(trial.recipe.epochs)
    if not is_full or whole == 1:
        return []
    micro_batch = math.ceil(whole / 2)
    logger.warning(
        "Trial %d cannot train on %d examples at once (%s); it accumulates gradients over %d at a time now, and so do "
        "its batch norms, if any, take their statistics.",
        *(trial.spec.trial_id, whole, error, micro_batch),
    )
    return [[replace(trial, state=replace(trial.state, micro_batch=micro_batch))]]


def _train_together(
    chunk: Sequence[_Standing], segment: Segment, data: TrainingData, paths: SweepPaths, ranks: Ranks
) -> Iterator[Report]:
    luck = Luck(segment.seed, chunk[0].spec.seed_index)
    alive = list(chunk)
    left_s = dict(segment.left_s)
    program = make_program([trial.recipe for trial in chunk], data, luck, [trial.state for trial in chunk], ranks)
    for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
        reports = [
            _diagnosed(trial, report, partial(program.state, lane, epoch), data, segment.seed)
            for lane, (trial, report) in enumerate(
                zip(alive, _train_epoch(program, alive, epoch, data, ranks), strict=True)
            )
        ]
        states = partial(_state_after, program, epoch, cache(program.predict))
        alive = [
            _followed(trial, report, partial(states, lane))
            for lane, (trial, report) in enumerate(zip(alive, reports, strict=True))
        ]
        reports = [concluded(trial.recipe, trial.course, report) for trial, report in zip(alive, reports, strict=True)]
        for lane, report in enumerate(reports):
            if report.first_bad_step is None and (epoch == segment.to_epoch or report.is_last):
                file = paths.checkpoint(report.trial_id, epoch, segment.generation, segment.attempt)
                if ranks.is_first:
                    write_checkpoint(file, _left(alive[lane].course, report, partial(states, lane)))
                yield replace(report, checkpoint=file)
            else:
                yield report
        for report in reports:
            left_s[report.trial_id] = left_s.get(report.trial_id, math.inf) - report.metrics["seconds"]
        going = [lane for lane, report in enumerate(reports) if not report.is_last and left_s[report.trial_id] >= 0]
        if not going:
            return
        if len(going) < len(alive):
            program.keep(going)
            alive = [alive[lane] for lane in going]


def _train_epoch(
    program: Program, trials: Sequence[_Standing], epoch: int, data: TrainingData, ranks: Ranks
) -> list[Report]:
    """The reports of one epoch, without checkpoints; seconds are each trial's share, by the first rank's clock."""
    num_examples = len(data.train_y)
    started = time.perf_counter()
    trained = program.train_epoch(epoch, [trial.course.plateau.factor for trial in trials])
    training_s = (time.perf_counter() - started) / len(trials)
    is_over = all(end.first_bad_step is not None for end in trained)
    measured = [{} for _ in trials] if is_over else program.evaluate()
    training_s, seconds = ranks.agreed(training_s, (time.perf_counter() - started) / len(trials))
    reports = []
    for trial, end, metrics in zip(trials, trained, measured, strict=True):
        found = {
            "lr": end.lr,
            "seconds": seconds,
            "samples_per_second": num_examples / training_s,
            "lanes": len(trials),
        }
        if len(trials) == 1 and trial.state.micro_batch > 0:
            found["micro_batch"] = trial.state.micro_batch
        first_bad_step = end.first_bad_step
        if first_bad_step is None and not all(map(math.isfinite, metrics.values())):
            first_bad_step = first_steps(trial.recipe, num_examples)[epoch] - 1
        if first_bad_step is None:
            found |= {"train_loss": end.train_loss, **metrics, "num_parameters": program.num_parameters}
        reports.append(Report(trial_id=trial.spec.trial_id, epoch=epoch, metrics=found, first_bad_step=first_bad_step))
    return reports


def _diagnosed(
    trial: _Standing, report: Report, state: Callable[[], TrialState], data: TrainingData, seed: int
) -> Report:
    """With metrics of the inside of the trial, where they are due; outside the clock."""
    if report.first_bad_step is not None or not trial.recipe.diagnostics.are_due(report.epoch):
        return report
    start = trial.state if trial.state.epoch == 0 and report.epoch == 1 else None
    found = diagnose(trial.recipe, data, state(), report.metrics["lr"], seed, start)
    return replace(report, metrics={**report.metrics, **found})


def _begun(specs: Sequence[TrialSpec], segment: Segment) -> Iterator[Begun]:
    if segment.left_s:
        yield Begun(trial_ids=tuple(spec.trial_id for spec in specs))


def _prepare(spec: TrialSpec, segment: Segment, data: TrainingData) -> _Standing:
    recipe = Recipe.model_validate_json(spec.recipe)
    if segment.from_epoch == 0:
        state = initial_state(recipe, data, segment.seed, spec.trial_id)
    else:
        state = read_checkpoint(segment.checkpoints[spec.trial_id])
    return _Standing(spec, recipe, state, state.course)


def _state_after(program: Program, epoch: int, predict: Callable[[], list[Tensors]], lane: int) -> TrialState:
    """Of a lane, with what it predicts; the next step changes it."""
    return replace(program.state(lane, epoch), log_probs=predict()[lane])


def _followed(trial: _Standing, report: Report, state: Callable[[], TrialState]) -> _Standing:
    """A trial after an epoch that led to `state`; one that has diverged is as it was."""
    return trial if report.is_last else replace(trial, course=follow(trial.recipe, trial.course, report, state))


def _left(course: Course, report: Report, state: Callable[[], TrialState]) -> TrialState:
    """What a trial leaves on disk that stands in `state`, or goes back to its best."""
    if report.best_epoch is not None and course.best is not None:
        return best_state(course.best, course.snapshots)
    return replace(state(), course=course)


def _groups(trials: Sequence[_Standing]) -> list[list[_Standing]]:
    """Trials that can share a program: one signature, one luck, and as many steps behind them.

    The last is only ever in question where some go on from another's state, which was trained with other batches.
    """
    groups = defaultdict(list)
    for trial in trials:
        groups[signature(trial.recipe), trial.spec.seed_index, trial.state.num_steps].append(trial)
    return list(groups.values())


def _chunks(group: Sequence[_Standing], num_lanes: int) -> Iterator[Sequence[_Standing]]:
    """As few as hold the group, equally full."""
    num_chunks = math.ceil(len(group) / num_lanes)
    for number in range(num_chunks):
        yield group[number::num_chunks]


def _num_lanes(choice: LaneChoice, group: Sequence[_Standing]) -> int:
    """As chosen; 1 where trying them raises, so that each trial says for itself what is wrong with it."""
    try:
        with torch.random.fork_rng(devices=[]):
            return choice.for_group([trial.recipe for trial in group], [trial.state for trial in group])
    except Exception:
        logger.warning("%d trials could not be tried side by side; each trains alone.", len(group), exc_info=True)
        return 1


def _failure(spec: TrialSpec, error: Exception) -> Failure:
    text = f"{type(error).__name__}: {error}"
    told = "".join(traceback.format_exception(error))
    return Failure(trial_id=spec.trial_id, error=text, traceback=told, is_disk_full=is_for_want_of_room(error))
