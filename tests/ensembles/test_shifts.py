"""Other shares of classes, against examples that are really there so often."""

import numpy as np
import pytest

from hpo.ensembles import measure
from hpo.ensembles.shifts import reweighted, worst_shift
from tests.ensembles.members import random_members

LOG_PROBS, LABELS = random_members(3, num_members=1)


@pytest.mark.parametrize("label", range(3))
def test_a_class_of_higher_odds_counts_as_if_its_examples_were_there_so_often(label: int) -> None:
    often = np.repeat(np.arange(60), np.where(label == LABELS, 4, 1))

    found, expected = reweighted(LOG_PROBS[0], LABELS, label, 4), measure(LOG_PROBS[0][often], LABELS[often])

    assert found.more_of == label
    for name in ("accuracy", "nll", "ece"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_the_worst_shift_is_towards_the_class_of_the_highest_nll() -> None:
    rows = [np.flatnonzero(label == LABELS) for label in (0, 1, 2)]
    own = [measure(LOG_PROBS[0][each], LABELS[each]).nll for each in rows]

    found = worst_shift(LOG_PROBS[0], LABELS, 8)

    assert found.more_of == np.argmax(own)
    assert measure(LOG_PROBS[0], LABELS).nll < found.nll < max(own)
