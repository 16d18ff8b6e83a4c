"""The Gaussian process against scikit-learn's, where huge length scales say which columns a kernel ignores."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, Matern, WhiteKernel

from hpo.search.gaussian_process import JITTER, GaussianProcess, Hyperparameters, covariance, fit

NOWHERE = 1e9
"""A length scale over which nothing changes."""


def some_hyperparameters() -> Hyperparameters:
    return Hyperparameters(length_scales=np.array([0.4, 1.3]), epoch_scale=0.3, level=0.8, bend=0.45, noise=0.02)


def kernel_of_sklearn(hyper: Hyperparameters) -> Kernel:
    matern = Matern([*hyper.length_scales, NOWHERE], nu=2.5)
    of_epochs = RBF([NOWHERE, NOWHERE, hyper.epoch_scale])
    return ConstantKernel(hyper.level) * matern + ConstantKernel(hyper.bend) * matern * of_epochs


def measurements(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of a function of the first feature and the epoch; the second feature is for nothing."""
    rng = np.random.default_rng(seed)
    x = rng.random((num, 3))
    y = np.sin(6 * x[:, 0]) + x[:, 2] + 0.01 * rng.standard_normal(num)
    return x, (y - y.mean()) / y.std()


def test_the_covariance_is_that_of_the_same_kernel_in_sklearn() -> None:
    x, _ = measurements(20)
    z, _ = measurements(7, seed=1)
    hyper = some_hyperparameters()

    assert covariance(hyper, x, z) == pytest.approx(kernel_of_sklearn(hyper)(x, z), abs=1e-9)


def test_the_posterior_is_that_of_sklearn() -> None:
    x, y = measurements(30)
    z, _ = measurements(9, seed=1)
    hyper = some_hyperparameters()
    reference = GaussianProcessRegressor(kernel_of_sklearn(hyper), alpha=hyper.noise + JITTER, optimizer=None)

    mean, std = GaussianProcess(hyper, x, y).predict(z)

    expected_mean, expected_std = reference.fit(x, y).predict(z, return_std=True)
    assert mean == pytest.approx(expected_mean, abs=1e-8)
    assert std == pytest.approx(expected_std, abs=1e-8)


def test_hyperparameters_explain_the_measurements_better_than_where_the_search_for_them_began() -> None:
    x, y = measurements(60)
    start = Hyperparameters.start(num_features=2)

    found = fit(x, y)

    def likelihood(hyper: Hyperparameters) -> float:
        kernel = kernel_of_sklearn(hyper) + WhiteKernel(hyper.noise)
        return float(GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(x, y).log_marginal_likelihood_value_)

    assert likelihood(found) > likelihood(start) + 10
    assert found.length_scales[1] > 2 * found.length_scales[0]
    assert found.noise < 0.01


def test_no_step_from_the_hyperparameters_that_are_found_makes_them_more_likely() -> None:
    x, y = measurements(40)
    widths = np.array([1.3, 1.3, 0.7, 0.7, 0.7, 1.2])
    starts = np.log([1.0, 1.0, 0.5, 0.7, 0.5, 3e-3])

    found = fit(x, y)

    def log_posterior(logs: np.ndarray) -> float:
        scales, (epoch_scale, level, bend, noise) = np.exp(logs[:2]), map(float, np.exp(logs[2:]))
        hyper = Hyperparameters(length_scales=scales, epoch_scale=epoch_scale, level=level, bend=bend, noise=noise)
        kernel = kernel_of_sklearn(hyper) + WhiteKernel(noise)
        process = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(x, y)
        return float(process.log_marginal_likelihood_value_ - 0.5 * (((logs - starts) / widths) ** 2).sum())

    mode = np.log([*found.length_scales, found.epoch_scale, found.level, found.bend, found.noise])
    beside = [mode + sign * 0.05 * axis for axis in np.eye(6) for sign in (-1, 1)]
    assert all(log_posterior(logs) < log_posterior(mode) for logs in beside)


def test_what_is_believed_narrows_the_posterior_and_moves_it_nowhere() -> None:
    x, y = measurements(10)
    z, _ = measurements(4, seed=1)
    process = GaussianProcess(some_hyperparameters(), x, y)
    mean, std = process.predict(z)

    believed_mean, believed_std = process.believing(z[:1]).predict(z)

    assert believed_mean == pytest.approx(mean, abs=1e-6)
    assert believed_std[0] < 0.3 * std[0]
    assert (believed_std <= std + 1e-9).all()


def test_equal_measurements_at_equal_places_can_be_factored() -> None:
    x, y = np.zeros((5, 3)), np.ones(5)

    hyper = fit(x, y)
    mean, _ = GaussianProcess(hyper, x, y).predict(x[:1])

    assert np.isfinite(mean).all()
