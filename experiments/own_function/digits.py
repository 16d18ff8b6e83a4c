"""A linear classifier of scikit-learn on handwritten digits, as a training function."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import hpo


def fit(trial: hpo.Trial) -> None:
    """Train for the epochs that are asked for, from where the last ones have ended."""
    x, y = load_digits(return_X_y=True)
    train, validation = slice(0, 1200), slice(1200, 1500)
    model = SGDClassifier(
        random_state=0, loss="log_loss", learning_rate="constant", eta0=trial.params["lr"], alpha=trial.params["alpha"]
    )
    model.partial_fit(x[train] / 16, y[train], classes=np.arange(10))  # makes the arrays that a state replaces
    if trial.state is not None:
        for name, value in trial.state.items():
            setattr(model, name, value)
    for epoch in trial.epochs():
        order = np.random.default_rng([trial.seed, epoch]).permutation(1200)
        model.set_params(random_state=epoch).partial_fit(x[train][order] / 16, y[train][order])
        accuracy = model.score(x[validation] / 16, y[validation])
        trial.report(epoch, val_accuracy=accuracy, state={"coef_": model.coef_, "intercept_": model.intercept_})
