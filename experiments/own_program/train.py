"""A small network of plain PyTorch on handwritten digits, as a program that knows nothing of hpo."""

import argparse
from pathlib import Path

import mlflow
import torch
from sklearn.datasets import load_digits
from torch import nn


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=9, help="train up to this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", default="", help="a folder to go on from")
    parser.add_argument("--save", default=".", help="a folder to go on from later")
    asked = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(asked.seed)
    model = nn.Sequential(nn.Linear(64, asked.width), nn.ReLU(), nn.Linear(asked.width, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=asked.lr, momentum=0.9)
    first = 1
    if asked.resume:
        state = torch.load(Path(asked.resume) / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1

    for epoch in range(first, asked.epochs + 1):
        order = torch.randperm(1200, generator=torch.Generator().manual_seed(asked.seed + epoch))
        for batch in order.split(64):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(x[1200:1500]).argmax(1) == y[1200:1500]).float().mean()
        mlflow.log_metrics({"train_loss": loss.item(), "val_accuracy": accuracy.item()}, step=epoch)

    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": asked.epochs}
    torch.save(state, Path(asked.save) / "state.pt")


if __name__ == "__main__":
    main()
