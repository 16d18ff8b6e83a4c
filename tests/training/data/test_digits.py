import numpy as np
from sklearn.datasets import load_digits

from hpo.training.data import Digits
from hpo.training.data.splits import Examples, split


def test_digits_are_those_that_scikit_learn_loads() -> None:
    bunch = load_digits()
    examples = Examples((bunch.images[:, None] / 16).astype(np.float32), bunch.target.astype(np.int64))

    splits = Digits().load(seed=3)

    assert splits.digest == split(examples, validation=0.2, test=0.2, seed=3).digest
