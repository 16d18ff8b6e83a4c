"""The published figure in small: an ensemble of what a sweep has trained anyway beats the best of it."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from hpo.ensembles import greedy, nlls, pool, select_and_calibrate, tempered, top
from tests.ensembles.members import Array, Labels

NUM_TRAINED, NUM_VALIDATED = 300, 500


def random_networks(seed: int, num_networks: int = 20) -> tuple[Array, Labels]:
    """What small networks with random widths and rates, trained on 300 digits, predict of the others, [M, n, C]."""
    data = load_digits()
    torch.manual_seed(seed)
    order = torch.randperm(len(data.target))
    x = torch.tensor(data.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(data.target)[order]
    members = [_trained(x[:NUM_TRAINED], y[:NUM_TRAINED])(x[NUM_TRAINED:]) for _ in range(num_networks)]
    return torch.stack(members).log_softmax(2).detach().numpy().astype(np.float16), y[NUM_TRAINED:].numpy()


def _trained(x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    width, log_rate, dropout = (torch.rand(3) * torch.tensor([60.0, 2.0, 0.5])).tolist()
    net = nn.Sequential(nn.Linear(64, 4 + int(width)), nn.Tanh(), nn.Dropout(dropout), nn.Linear(4 + int(width), 10))
    optimizer = torch.optim.SGD(net.parameters(), 10 ** (log_rate - 1.5), momentum=0.9)
    for _ in range(15):
        for rows in torch.randperm(len(x)).split(20):
            optimizer.zero_grad()
            functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net.eval()


@pytest.mark.slow
def test_greedy_from_twenty_random_networks_beats_the_best_of_them_on_test_data() -> None:
    gains, gains_of_calibrated = [], []
    for seed in range(4):
        log_probs, labels = random_networks(seed)
        chosen, unseen = log_probs[:, :NUM_VALIDATED], log_probs[:, NUM_VALIDATED:]
        truth, unseen_truth = labels[:NUM_VALIDATED], labels[NUM_VALIDATED:]
        fit = select_and_calibrate(chosen, truth, partial(greedy, size=5), seed=0)

        pooled = pool(unseen, fit.selection.weights)

        single = nlls(pool(unseen, top(chosen, truth, size=1).weights), unseen_truth).mean()
        gains.append(single - nlls(pooled, unseen_truth).mean())
        calibrated = tempered(pooled, fit.calibration.temperature)
        gains_of_calibrated.append(single - nlls(calibrated, unseen_truth).mean())
    assert min(gains) >= 0  # where no other is sure to gain, it is the best single
    assert np.mean(gains) > 0.01
    assert np.mean(gains_of_calibrated) > np.mean(gains)
