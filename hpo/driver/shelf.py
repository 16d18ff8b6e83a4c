"""Training states on disk, and how long each must stay there."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, final

from hpo.files import discard, size_of
from hpo.records import Goal, TrialRecord
from hpo.results.table import find_front, rank
from hpo.sizes import size_text

_log = logging.getLogger(__name__)


def best_first(trials: Sequence[TrialRecord], goals: Mapping[str, Goal]) -> list[TrialRecord]:
    """As they are ranked; with several goals, those that no other beats come before the rest."""
    ranked = rank(trials, next(iter(goals.values())))
    front = {trial.trial_id for trial in find_front(ranked, goals)} if len(goals) > 1 else set()
    return sorted(ranked, key=lambda trial: trial.trial_id not in front)


def surplus(states: Sequence[str], sizes: Mapping[str, int], most_bytes: int) -> list[str]:
    """What must go, the last first, so that no more than `most_bytes` are left; all of it where that is not enough.

    Args:
        states: that may go, those first that are worth most.
        sizes: in bytes, of these and of all that must stay.
        most_bytes: see above.
    """
    num_bytes = sum(sizes.values())
    gone = []
    for state in reversed(states):
        if num_bytes <= most_bytes:
            break
        gone.append(state)
        num_bytes -= sizes[state]
    return gone


class Ensemble(Protocol):
    """Of the trials that have ended, as far as their states are there."""

    def join(self, trial: TrialRecord) -> None:
        """A trial has ended, or will have as it is given here."""
        ...

    def leave(self, trial: TrialRecord) -> None:
        """The state of a trial is gone."""
        ...

    def members(self) -> Collection[str]:
        """The states of its members, by all that it has been told."""
        ...


@final
class Nobody:
    """No ensemble."""

    def join(self, trial: TrialRecord) -> None:
        """Nobody does."""

    def leave(self, trial: TrialRecord) -> None:
        """Nobody was there."""

    def members(self) -> Collection[str]:
        """None."""
        return ()


@final
class Shelf:
    """Keeps a state until everybody who needed it has let go of it.

    Nobody needs the last state of a trial that has ended; it stays as far as there is room: those of the ensemble so
    far longer than all others, and the winner's always.
    """

    def __init__(
        self,
        goals: Mapping[str, Goal],
        most_bytes: int | None = None,
        *,
        ensemble: Ensemble | None = None,
        discard: Callable[[str], None] = discard,
        size_of: Callable[[str], int | None] = size_of,
    ) -> None:
        """Holds nothing.

        Args:
            goals: which way each metric is better, the main one first.
            most_bytes: that all states may take; none: what they will, and no file is looked at.
            ensemble: told of trials that have ended, and asked when states must go; none: of nobody.
            discard: lets a file be gone.
            size_of: a file in bytes; none if there is none.
        """
        self._goals = goals
        self._most_bytes = most_bytes
        self._ensemble = ensemble or Nobody()
        self._discard = discard
        self._size_of = size_of
        self._num_holders: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._num_bytes = 0
        self._ended: dict[str, TrialRecord] = {}
        self._through: dict[str, TrialRecord] = {}  # who train no more, and have not been told their end
        self._said: set[str] = set()

    def hold(self, state: str) -> None:
        """Somebody needs it."""
        self._num_holders[state] += 1
        if self._most_bytes is not None and state not in self._sizes:
            self._sizes[state] = self._size_of(state) or 0
            self._num_bytes += self._sizes[state]

    def release(self, state: str) -> None:
        """Somebody needs it no more; the last one's is discarded."""
        self._num_holders[state] -= 1
        if self._num_holders[state] == 0:
            del self._num_holders[state]
            self._num_bytes -= self._sizes.pop(state, 0)
            self._discard(state)

    def replace(self, before: str | None, now: str, through: TrialRecord | None = None) -> None:
        """A trial has come to another state; `through`: as it will have ended, if it trains no more."""
        self.hold(now)
        if before is not None:
            self.release(before)
        if through is not None:
            self._ensemble.join(through)
            if self._most_bytes is not None:
                self._through[now] = through
        self._make_room()

    def retire(self, trial: TrialRecord) -> None:
        """A trial has ended, whose last state it holds."""
        state = trial.checkpoint
        if state is None or state not in self._num_holders:  # it has gone before
            return
        self._ensemble.join(trial)
        if self._most_bytes is not None:
            self._through.pop(state, None)
            self._ended[state] = trial
            self._make_room()

    def recall(self, trials: Iterable[TrialRecord]) -> None:
        """Of these some had ended before, whose last states may have gone since."""
        ended = [trial for trial in trials if trial.end is not None and trial.checkpoint is not None]
        for trial in ended:
            self._ensemble.join(trial)  # all before any may have to go
        for trial in ended if self._most_bytes is not None else ():
            if self._size_of(str(trial.checkpoint)) is not None:
                self.hold(str(trial.checkpoint))
                self.retire(trial)

    def _make_room(self) -> None:
        if self._most_bytes is None or self._num_bytes <= self._most_bytes:
            return
        everybody = self._ranked(self._ended | self._through)
        winners = {*everybody[:1], *self._ranked(self._ended)[:1]}  # the first may yet be cancelled
        free = [state for state in everybody if state not in winners and self._num_holders[state] == 1]
        members = self._ensemble.members()
        gone = surplus(sorted(free, key=lambda state: state not in members), self._sizes, self._most_bytes)
        self._drop(gone)
        most = size_text(self._most_bytes)
        if num_lost := len({*gone} & {*members}):
            self._warn_once(
                "storage.keep: states must take at most %s, so members of the ensemble so far go too (%d now). Raise "
                "it, or ask for a smaller one.",
                *(most, num_lost),
            )
        if self._num_bytes > self._most_bytes:
            self._warn_once(
                "storage.keep: states must take at most %s, but %d that trials go on from, and the winner's, take %s. "
                "They are kept all the same.",
                *(most, len(self._sizes) - 1, size_text(self._num_bytes)),
            )

    def _warn_once(self, message: str, *numbers: object) -> None:
        if message not in self._said:
            self._said.add(message)
            _log.warning(message, *numbers)

    def _ranked(self, trials: Mapping[str, TrialRecord]) -> list[str]:
        """States, the best trial's first."""
        ranked = best_first(list(trials.values()), self._goals)
        return [trial.checkpoint for trial in ranked if trial.checkpoint is not None]

    def _drop(self, states: Collection[str]) -> None:
        for state in states:
            trial = self._ended.pop(state, None) or self._through.pop(state)
            self._ensemble.leave(trial)
            self.release(state)
