from pathlib import Path

import pytest

from hpo.records import Goal
from hpo.scheduling import Budget, Pbt
from hpo.search.samplers import Qmc
from hpo.spaces import Choice, Domain, QUniform
from hpo.sweep import Metric, Sweep, load_sweep
from hpo.sweep.advice import advice
from hpo.training.data import Digits
from hpo.training.models import Cnn, Mlp, Model, Resnet

LR: dict[str, Domain] = {"optimizer.momentum": QUniform(min=0.0, max=0.9, q=0.1)}


def sweep(model: Model, space: dict[str, Domain] | None = None, batch_size: int = 64) -> Sweep:
    metric = Metric(name="val_accuracy", goal=Goal.MAXIMIZE)
    return Sweep(data=Digits(), model=model, metric=metric, space=LR | (space or {}), batch_size=batch_size)


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (sweep(Mlp(norm="batch", dropout=0.3)), "model.dropout"),
        (sweep(Mlp(norm="batch", input_dropout=0.3)), "model.input_dropout"),
        (sweep(Mlp(hidden=(8,), norm="batch", input_dropout=0.3)), "model.input_dropout"),
        (sweep(Cnn(spatial_dropout=0.3)), "model.spatial_dropout"),
        (sweep(Mlp(norm="batch"), {"model.dropout": QUniform(min=0.0, max=0.6, q=0.1)}), "model.dropout"),
        (sweep(Mlp(dropout=0.3), {"model.norm": Choice(values=("none", "batch"))}), "model.dropout"),
        (sweep(Cnn(spatial_dropout=0.3), {"model.kind": Choice(values=("resnet", "cnn"))}), "model.spatial_dropout"),
    ],
)
def test_much_dropout_before_a_batch_norm_is_advised_against(made: Sweep, path: str) -> None:
    [text] = advice(made)

    assert text.startswith(f"{path}: should be at most 0.2 before a batch norm, which it gives another variance in ")
    assert text.endswith("Lower it, or use model.norm: layer.")


@pytest.mark.parametrize(
    "made",
    [
        sweep(Mlp(dropout=0.5)),
        sweep(Mlp(norm="batch", dropout=0.2)),
        sweep(Mlp(hidden=(8,), norm="batch", dropout=0.5)),
        sweep(Mlp(norm="layer", dropout=0.5), batch_size=4),
        sweep(Cnn(dropout=0.5)),
        sweep(Cnn(channels=(8,), spatial_dropout=0.5)),
        sweep(Resnet(dropout=0.5, drop_path=0.3)),
        sweep(Cnn(), batch_size=16),
    ],
)
def test_dropout_behind_every_batch_norm_and_large_batches_need_no_advice(made: Sweep) -> None:
    assert advice(made) == []


def test_few_examples_for_batch_norm_are_advised_against() -> None:
    [small] = advice(sweep(Cnn(), batch_size=8))
    [searched] = advice(sweep(Cnn(), {"batch_size": Choice(values=(64, 12))}))
    [ghosts] = advice(sweep(Cnn(ghost_batch=4)))
    [some_ghosts] = advice(sweep(Cnn(), {"model.ghost_batch": Choice(values=(0, 32, 4))}))

    assert small.startswith("batch_size: should be at least 16 with model.norm: batch")
    assert "but may be 8. Raise it, or use another norm." in small
    assert "but may be 12." in searched
    assert ghosts.startswith("model.ghost_batch: should be at least 16")
    assert "but may be 4." in some_ghosts


def test_more_params_than_the_trials_can_pay_for_are_advised_against() -> None:
    space: dict[str, Domain] = {
        "optimizer.kind": Choice(values=("sgd", "adamw")),
        "optimizer.momentum": QUniform(min=0.0, max=0.9, q=0.1, when="optimizer.kind == sgd"),
        "optimizer.beta2": QUniform(min=0.9, max=0.99, q=0.01, when="optimizer.kind == adamw"),
    }
    few, enough = (
        Sweep(
            data=Digits(),
            model=Mlp(),
            metric=Metric(name="val_accuracy", goal=Goal.MAXIMIZE),
            space=space,
            sampler=Qmc(),
            budget=Budget(trials=trials),
        )
        for trials in (15, 16)
    )

    [text] = advice(few)
    assert text.startswith("budget.trials: should be at least 16 for 2 params at once with sampler.kind qmc, but is 15")
    assert text.endswith("most of the space will not be seen. Raise it, or search fewer params.")
    assert advice(enough) == []


def test_a_population_begins_with_few_trials_and_its_children_look_further() -> None:
    made = sweep(Mlp()).model_copy(update={"budget": Budget(trials=2), "scheduler": Pbt(population=2, quantile=0.5)})

    assert advice(made) == []


def test_the_sweep_of_the_demo_needs_no_advice() -> None:
    assert advice(load_sweep(Path(__file__).parents[2] / "experiments" / "digits.yaml")) == []
