"""The search of ray_tune_script.py as a plain Optuna loop: one process, one trial after the other, nothing logged.

Prints one JSON line: trials, epochs trained, best validation accuracy and its params.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

INITIALIZERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = load()
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=args.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),  # rungs 1, 3, 9, 27
    )
    study.optimize(lambda trial: train(trial, data, args.epochs), n_trials=args.trials)
    values = {trial.number: max(trial.intermediate_values.values()) for trial in study.trials}
    best = max(values, key=lambda number: values[number])
    print(
        json.dumps(
            {
                "trials": len(study.trials),
                "epochs_trained": sum(len(trial.intermediate_values) for trial in study.trials),
                "best_val_accuracy": round(values[best], 5),
                "params": study.trials[best].params,
            }
        )
    )


def load() -> Data:
    """Training inputs [n, 64] and labels [n], then those for validation."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    x = torch.from_numpy((bunch.data[order] / 16).astype("float32"))
    y = torch.from_numpy(bunch.target[order].astype("int64"))
    num = int(len(x) * 0.8)
    x = (x - x[:num].mean()) / x[:num].std()
    return x[:num], y[:num], x[num:], y[num:]


def train(trial: optuna.Trial, data: Data, num_epochs: int) -> float:
    """Validation accuracy after the last epoch."""
    train_x, train_y, validation_x, validation_y = data
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.7)
    batch_size = trial.suggest_categorical("batch_size", [32, 64, 128, 256])
    initializer = trial.suggest_categorical("init", list(INITIALIZERS))
    torch.manual_seed(0)
    net = build(dropout, initializer)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    criterion = nn.CrossEntropyLoss()
    accuracy = 0.0
    for epoch in range(1, num_epochs + 1):
        net.train()
        for batch in torch.randperm(len(train_x)).split(batch_size):
            optimizer.zero_grad()
            criterion(net(train_x[batch]), train_y[batch]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            accuracy = (net(validation_x).argmax(1) == validation_y).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def build(dropout: float, initializer: str) -> nn.Module:
    net = nn.Sequential(
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(256, 10),
    )
    for module in net:
        if isinstance(module, nn.Linear):
            INITIALIZERS[initializer](module.weight)
            nn.init.zeros_(module.bias)
    return net


if __name__ == "__main__":
    main()
