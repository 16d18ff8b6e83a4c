"""The ensemble of what a sweep has so far, kept up to date while it runs."""

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Self, final

import numpy as np

from hpo.ensembles import of_labels, pool, score, to_select_on
from hpo.ensembles.arrays import Labels
from hpo.ensembles.candidates import NUM_CONSIDERED
from hpo.ensembles.kinds import AnyEnsemble, Candidate
from hpo.harvest.pool import Pool, read_pool
from hpo.progress import EnsembleSoFar
from hpo.records import Goal, TrialRecord
from hpo.results.table import find_best

LOOK_S = 2.0
"""Between two selections by a thread of their own, at least."""
SHARE = 0.05
"""Of that thread's time in which it works, at most."""

_log = logging.getLogger(__name__)


@final
class Lineup:
    """Selects from the trials that have ended, by the rules and on the examples of the selection at the sweep's end.

    Predictions are held of no more candidates than can be picked. A state that cannot be read, or a selection that
    cannot be made, is told once; neither ends a sweep.
    """

    def __init__(self, kind: AnyEnsemble, labels: Labels, num_classes: int, goal: Goal, seed: int) -> None:
        """Knows nobody.

        Args:
            kind: of the ensemble that the sweep asks for.
            labels: of the validation examples [n].
            num_classes: C.
            goal: by which a trial is the best, which some kinds ask for.
            seed: the sweep's.
        """
        self._kind = kind
        self._labels = labels
        self._num_classes = num_classes
        self._goal = goal
        self._inside = to_select_on(labels, seed)
        self._told: deque[tuple[TrialRecord, bool]] = deque()
        self._trials: dict[int, TrialRecord] = {}
        self._nlls: dict[int, dict[Candidate, float]] = {}
        self._pools: dict[int, Pool] = {}  # of some; others are read again where they are needed
        self._members: frozenset[str] = frozenset()
        self._working = threading.Lock()
        self._is_over = threading.Event()
        self._has_warned = False
        self.so_far: EnsembleSoFar | None = None
        """As it was last selected; none while there is nobody to select."""

    def join(self, trial: TrialRecord) -> None:
        """A trial has ended, or will have as it is given here; it is looked at later."""
        self._told.append((trial, True))

    def leave(self, trial: TrialRecord) -> None:
        """The state of a trial is gone."""
        self._told.append((trial, False))

    def members(self) -> Collection[str]:
        """The states of the ensemble of everybody that there is by now."""
        self.update()
        return self._members

    def update(self) -> None:
        """Look at whoever has joined since, and select again; in the thread that asks for it."""
        with self._working:
            has_changed = False
            while self._told:
                trial, is_there = self._told.popleft()
                with self._survived():
                    has_changed |= self._join(trial) if is_there else self._leave(trial)
            if has_changed:
                with self._survived():
                    self._select()

    @contextmanager
    def kept_up(self) -> Iterator[Self]:
        """Update every now and then, in a thread of its own."""
        thread = threading.Thread(target=self._look_after, name="hpo-lineup", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            thread.join(LOOK_S)

    def _look_after(self) -> None:
        rest_s = LOOK_S
        while not self._is_over.wait(rest_s):
            began = time.monotonic()
            self.update()
            rest_s = max(LOOK_S, (time.monotonic() - began) / SHARE)

    @contextmanager
    def _survived(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - files, stores and fits have no common base; none may end a sweep
            if not self._has_warned:
                _log.warning("The ensemble so far is not up to date: %s", error)
            self._has_warned = True

    def _join(self, trial: TrialRecord) -> bool:
        """Whether that changes anything: a trial is told of when it is through, and again at its end."""
        known = self._trials.get(trial.trial_id)
        if known is not None and (known.end, known.checkpoint) == (trial.end, trial.checkpoint):
            return False
        self._leave(trial)
        found = self._read(trial)
        own = of_labels(found.log_probs[:, self._inside], self._labels[self._inside])
        nlls = zip(found.candidates, (-own.mean(1)).tolist(), strict=True)
        self._nlls[trial.trial_id] = {candidate: nll for candidate, nll in nlls if np.isfinite(nll)}
        self._trials[trial.trial_id] = trial
        if len(self._pools) < 2 * NUM_CONSIDERED:
            self._pools[trial.trial_id] = found
        return True

    def _leave(self, trial: TrialRecord) -> bool:
        self._nlls.pop(trial.trial_id, None)
        self._pools.pop(trial.trial_id, None)
        return self._trials.pop(trial.trial_id, None) is not None

    def _read(self, trial: TrialRecord) -> Pool:
        return read_pool([trial], self._labels, self._num_classes, stopped=self._kind.stopped)

    def _select(self) -> None:
        nlls = self._considered()
        if not nlls:
            self._members, self.so_far = frozenset(), None
            return
        found = self._pool_of(nlls)
        weights = self._kind(found.log_probs[:, self._inside], self._labels[self._inside]).weights
        members = [found.candidates[row].trial_id for row in np.flatnonzero(weights)]
        together = score(pool(found.log_probs, weights), self._labels)
        single = score(found.log_probs[found.candidates.index(min(nlls, key=nlls.__getitem__))], self._labels)
        self._members = frozenset(str(self._trials[trial_id].checkpoint) for trial_id in members)
        self.so_far = EnsembleSoFar(
            num_members=len(members),
            nll=together.nll,
            accuracy=together.accuracy,
            single_nll=single.nll,
            single_accuracy=single.accuracy,
        )

    def _considered(self) -> dict[Candidate, float]:
        """The NLL of those that can be picked at all, the lowest first; equals in the order of a pool."""
        best = find_best(list(self._trials.values()), self._goal)
        if best is None:
            return {}
        everybody = [each for trial_id in sorted(self._nlls) for each in self._nlls[trial_id].items()]
        admitted = [each for each in everybody if self._kind.admits(each[0], best.trial_id)]
        return dict(sorted(admitted, key=lambda each: each[1])[:NUM_CONSIDERED])

    def _pool_of(self, considered: Collection[Candidate]) -> Pool:
        """What they predict; of all others nothing is held any more."""
        needed = sorted({candidate.trial_id for candidate in considered})
        self._pools = {each: self._pools.get(each) or self._read(self._trials[each]) for each in needed}
        pools = self._pools.values()
        candidates = tuple(candidate for each in pools for candidate in each.candidates)
        whole = Pool(candidates, np.concatenate([each.log_probs for each in pools]), self._labels)
        return whole.where(lambda candidate: candidate in considered)
