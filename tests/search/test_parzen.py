"""Our use of the private parts of Optuna's TPE, held against Optuna's own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler

from hpo.records import End, EndKind, Goal
from hpo.search.distributions import Stored
from hpo.search.mirror import Mirror
from hpo.search.parzen import Experience, Parzen
from hpo.search.proposer import Problem, Proposer
from hpo.search.samplers import Tpe
from hpo.spaces import Choice, Constant, Domain, LogUniform, QUniform, RandInt, Uniform
from tests.search.opening import SEARCH

FREE: Mapping[str, Domain] = {
    "optimizer.lr": LogUniform(min=1e-4, max=1.0),
    "optimizer.momentum": Uniform(min=0.0, max=0.99),
    "model.dropout": QUniform(min=0.0, max=0.6, q=0.05),
    "model.depth": RandInt(min=1, max=5),
    "model.activation": Choice(values=("relu", "gelu", "tanh")),
}
CONDITIONAL: Mapping[str, Domain] = {
    **FREE,
    "optimizer.kind": Choice(values=("sgd", "adamw")),
    "optimizer.momentum": Uniform(min=0.0, max=0.99, when="optimizer.kind == sgd"),
    "optimizer.beta2": Uniform(min=0.9, max=0.999, when="optimizer.kind == adamw"),
    "optimizer.eps": Constant(value=1e-8, when="optimizer.kind == adamw"),
}
SIZES = (1, 12, 3, 7, 1, 9, 5, 8, 8)
KINDS = (EndKind.COMPLETE, EndKind.STOPPED, EndKind.STOPPED, EndKind.FAILED, EndKind.DIVERGED, EndKind.COMPLETE)


def optunas_own(problem: Problem, num_startup: int, seed: int, multivariate: bool | None = None) -> BaseSampler:
    group = not problem.shape.is_free
    return TPESampler(seed=seed, n_startup_trials=num_startup, multivariate=multivariate, group=group)


def proposals(
    proposer: Proposer, sizes: Sequence[int] = SIZES, kinds: Sequence[EndKind] = KINDS
) -> list[dict[str, Stored]]:
    """In cohorts, of which each proposal knows those that run; trials end in every way, a cohort late."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    proposed = list[dict[str, Stored]]()
    proposer.skip()
    for size in sizes:
        num_before = len(proposed)
        proposed += [proposer.propose({}) for _ in range(size)]
        for number in range(max(0, num_before - 4), len(proposed) - 4):
            loss = abs(float(proposed[number]["optimizer.lr"]) - 0.1)
            values = {1: loss + 1, 3: loss}
            metrics = {"seconds": float(proposed[number]["model.depth"])}
            end = End(kind=kinds[number % len(kinds)], epoch=3, value=loss, metrics=metrics)
            proposer.end(number + 1, values if number % 7 else {}, end)
    return proposed


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("space", [FREE, CONDITIONAL], ids=["free", "conditional"])
@pytest.mark.parametrize("num_startup", [0, 10])
def test_proposals_are_those_of_optunas_sampler(space: Mapping[str, Domain], num_startup: int) -> None:
    problem = replace(SEARCH, space=space).problem
    experience = Experience(problem)

    ours = proposals(Mirror(problem, lambda seed: Parzen(experience, num_startup, seed)))

    assert ours == proposals(Mirror(problem, lambda seed: optunas_own(problem, num_startup, seed)))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "error:.*multivariate:UserWarning")
@pytest.mark.parametrize("space", [FREE, CONDITIONAL], ids=["free", "conditional"])
def test_so_they_are_with_several_metrics_all_params_at_once(space: Mapping[str, Domain]) -> None:
    problem = replace(SEARCH, space=space, others={"seconds": Goal.MINIMIZE}).problem
    sizes = (400, 6, 6)  # of so many trials Optuna takes more for good ones than with one metric
    kinds = (*[EndKind.COMPLETE] * 8, EndKind.STOPPED, EndKind.FAILED)  # where some diverge, ours would be wary

    ours = proposals(Tpe().begin(problem), sizes, kinds)

    optunas = Mirror(problem, lambda seed: optunas_own(problem, 10, seed, multivariate=True))
    assert ours == proposals(optunas, sizes, kinds)
