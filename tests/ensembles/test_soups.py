import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from hpo.ensembles.soups import State, average, barrier, greedy_soup, uniform_soup
from hpo.errors import EnsembleError

Tensors = dict[str, torch.Tensor]


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


@cache
def trained(seed: int, num_epochs: int = 8, lr: float = 0.1, ancestor: int | None = None) -> Tensors:
    """On 1000 digits, from an ancestor's weights or new ones."""
    torch.manual_seed(seed)
    module = network()
    if ancestor is not None:
        module.load_state_dict(trained(ancestor))
    optimizer = torch.optim.SGD(module.parameters(), lr, momentum=0.9)
    x, y = (part[:1000] for part in digits())
    for _ in range(num_epochs):
        for rows in torch.randperm(1000).split(50):
            optimizer.zero_grad()
            functional.cross_entropy(module(x[rows]), y[rows]).backward()
            optimizer.step()
    return dict(module.state_dict())


def score(state: State) -> float:
    """The NLL of the other digits, after one pass for the statistics of batch norm."""
    module = network()
    module.load_state_dict(state)
    module[1].momentum = None  # type: ignore[assignment]
    module[1].reset_running_stats()  # type: ignore[operator]
    x, y = digits()
    with torch.no_grad():
        module.train()(x[:1000])
        return functional.cross_entropy(module.eval()(x[1000:]), y[1000:]).item()


def fine_tuned(seed: int) -> Tensors:
    return trained(seed, num_epochs=2, lr=0.03, ancestor=0)


def bowl(*at: float) -> tuple[list[Tensors], Callable[[State], float]]:
    """States of one number, and an NLL whose only valley is at 0."""
    return [{"w": torch.tensor([each])} for each in at], lambda state: float(state["w"] ** 2)


def test_networks_fine_tuned_from_one_make_a_soup_no_worse_than_they_are() -> None:
    states = [fine_tuned(seed) for seed in (1, 2, 3)]

    soup = uniform_soup(states, score)

    nlls = [score(state) for state in states]
    assert sorted(soup.members) == [0, 1, 2]
    assert soup.nll <= sum(nlls) / 3
    assert soup.nll == score(average(states))


@pytest.mark.parametrize("make", [uniform_soup, greedy_soup])
def test_networks_trained_from_different_seeds_make_no_soup(make: Callable[..., object]) -> None:
    with pytest.raises(EnsembleError, match="States of a soup must be connected, .* it rises .* pool the predictions"):
        make([trained(10), trained(11)], score)


def test_a_greedy_soup_leaves_out_what_is_not_connected_with_the_best() -> None:
    states = [trained(10), *(fine_tuned(seed) for seed in (1, 2, 3))]

    soup = greedy_soup(states, score)

    assert 0 not in soup.members
    assert soup.nll <= min(score(state) for state in states[1:])
    assert soup.nll == score(average([states[member] for member in soup.members]))


def test_a_greedy_soup_takes_what_lowers_the_nll_best_first() -> None:
    states, nll = bowl(3.0, -1.0, 0.5, 40.0)

    soup = greedy_soup(states, nll)

    assert soup.members == (2, 1)  # 0.5 and -1 make -0.25; with 3 it would be 0.83
    assert soup.state["w"].item() == -0.25
    assert soup.nll == 0.0625


def test_a_greedy_soup_may_be_of_the_best_alone() -> None:
    states, nll = bowl(0.0, 1.0, 2.0)

    assert greedy_soup(states, nll).members == (0,)


def test_the_mean_is_that_of_every_number_and_counts_stay_the_firsts() -> None:
    first = {"weight": torch.tensor([1.0, 3.0]), "num_batches_tracked": torch.tensor(7)}
    second = {"weight": torch.tensor([2.0, -1.0]), "num_batches_tracked": torch.tensor(9)}

    mean = average([first, second])

    assert mean["weight"].tolist() == [1.5, 1.0]
    assert (mean["num_batches_tracked"].item(), mean["num_batches_tracked"].dtype) == (7, torch.int64)
    assert first["weight"].tolist() == [1.0, 3.0]


def test_a_mean_is_not_rounded_on_the_way() -> None:
    states = [{"w": torch.tensor([value])} for value in (2.0**24, 1.0, 1.0, 1.0, 1.0)]

    assert average(states)["w"].item() == (2**24 + 4) / 5  # in float32, 2^24 + 1 is 2^24
    assert average(states)["w"].dtype == torch.float32


def test_a_barrier_is_the_highest_rise_above_the_straight_line() -> None:
    start, end = ({"w": torch.tensor([at])} for at in (0.0, 1.0))
    heights = {0.25: 1.0, 0.5: 4.0, 0.75: 2.0}

    rise = barrier((start, 1.0), (end, 3.0), lambda state: heights[state["w"].item()])

    assert rise == 2.0  # at the half, where the line is at 2
    assert barrier((start, 1.0), (end, 3.0), lambda state: math.nan) == math.inf


def test_a_network_worse_than_the_best_may_still_be_connected() -> None:
    states, nll = bowl(0.0, 10.0)

    assert barrier((states[0], 0.0), (states[1], 100.0), nll) < 0  # near its end above the mean of both ends, though


def test_a_soup_that_is_worse_than_its_states_are_on_average_is_refused() -> None:
    corners = [{"w": torch.tensor(at)} for at in ((0.0, 0.0), (3.0, 0.0), (0.0, 3.0))]

    def nll(state: State) -> float:
        """Two valleys that meet in a corner, and a hill between them."""
        x, y = state["w"].tolist()
        return float(x * y)

    with pytest.raises(EnsembleError, match="its NLL is 1.0000 and theirs 0.0000. Pool their predictions instead"):
        uniform_soup(corners, nll)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": torch.zeros(3)}, r"w is \[2\] in the first and \[3\] in number 1. Average trials that share `model`"),
        ({"v": torch.zeros(2)}, r"v is missing in the first and \[2\] in number 1"),
    ],
)
def test_states_of_another_architecture_are_refused(other: Tensors, message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        uniform_soup([{"w": torch.zeros(2)}, other], score=lambda state: 0.0)


def test_states_without_a_finite_nll_are_refused() -> None:
    states, _ = bowl(0.0, 1.0)

    with pytest.raises(EnsembleError, match="must have a finite NLL, but that of number 0 is nan"):
        greedy_soup(states, lambda state: math.nan)


@pytest.mark.parametrize(("num", "message"), [(0, "at least one state"), (1, "at least two states, but there is one")])
def test_a_soup_needs_two_states(num: int, message: str) -> None:
    states, nll = bowl(0.0)

    with pytest.raises(EnsembleError, match=message):
        uniform_soup(states[:num], nll)
