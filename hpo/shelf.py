"""Training states on disk, and how long each must stay there."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import final

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
    """What must go, the last first, so that no more than `most_bytes` are left; the first never goes.

    Args:
        states: that may go, those first that are worth most.
        sizes: in bytes, of these and of all that must stay.
        most_bytes: see above.
    """
    num_bytes = sum(sizes.values())
    gone = []
    for state in reversed(states[1:]):
        if num_bytes <= most_bytes:
            break
        gone.append(state)
        num_bytes -= sizes[state]
    return gone


@final
class Shelf:
    """Keeps a state until everybody who needed it has let go of it.

    Nobody needs the last state of a trial that has ended; it stays as far as there is room, and the winner's always.
    """

    def __init__(
        self,
        goals: Mapping[str, Goal],
        most_bytes: int | None = None,
        *,
        discard: Callable[[str], None] = discard,
        size_of: Callable[[str], int | None] = size_of,
    ) -> None:
        """Holds nothing.

        Args:
            goals: which way each metric is better, the main one first.
            most_bytes: that all states may take; none: what they will, and no file is looked at.
            discard: lets a file be gone.
            size_of: a file in bytes; none if there is none.
        """
        self._goals = goals
        self._most_bytes = most_bytes
        self._discard = discard
        self._size_of = size_of
        self._num_holders: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._num_bytes = 0
        self._ended: dict[str, TrialRecord] = {}
        self._has_warned = False

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

    def replace(self, before: str | None, now: str) -> None:
        """A trial has come to another state."""
        self.hold(now)
        if before is not None:
            self.release(before)
        self._make_room()

    def retire(self, trial: TrialRecord) -> None:
        """A trial has ended, whose last state it holds."""
        if self._most_bytes is not None and trial.checkpoint is not None:
            self._ended[trial.checkpoint] = trial
            self._make_room()

    def recall(self, trials: Iterable[TrialRecord]) -> None:
        """Of these some had ended before, whose last states may have gone since."""
        for trial in trials if self._most_bytes is not None else ():
            if trial.end is not None and trial.checkpoint is not None and self._size_of(trial.checkpoint) is not None:
                self.hold(trial.checkpoint)
                self.retire(trial)

    def _make_room(self) -> None:
        if self._most_bytes is None or self._num_bytes <= self._most_bytes:
            return
        free = [trial for state, trial in self._ended.items() if self._num_holders[state] == 1]
        states = [trial.checkpoint for trial in best_first(free, self._goals) if trial.checkpoint is not None]
        self._drop(surplus(states, self._sizes, self._most_bytes))
        if self._num_bytes > self._most_bytes and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "storage.keep: states must take at most %s, but %d that trials go on from, and the winner's, take %s. "
                "They are kept all the same.",
                *(size_text(self._most_bytes), len(self._sizes) - 1, size_text(self._num_bytes)),
            )

    def _drop(self, states: Collection[str]) -> None:
        for state in states:
            del self._ended[state]
            self.release(state)
