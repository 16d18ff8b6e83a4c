from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.spaces import LogUniform
from hpo.sweep import Sweep, dump_resolved, load_sweep, with_lr_bounds
from hpo.training.lr_range import LrSuggestion

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: "loguniform(1e-4, 1)", batch_size: "choice(32, 64)"}
lr_range: {}
"""
SUGGESTION = LrSuggestion(steepest=0.02, largest_stable=0.5)


def load(folder: Path, *overrides: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP)
    return load_sweep(path, overrides)


def find_mistakes(folder: Path, *overrides: str) -> str:
    with pytest.raises(SweepError) as caught:
        load(folder, *overrides)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_rate_is_searched_from_a_tenth_of_the_lower_suggestion_to_the_largest_stable_rate(tmp_path: Path) -> None:
    sweep = load(tmp_path)

    bounded = with_lr_bounds(sweep, SUGGESTION)

    assert bounded.space["optimizer.lr"] == LogUniform(min=0.002, max=0.5)
    assert bounded.space["batch_size"] == sweep.space["batch_size"]


def test_the_bounds_enclose_the_rates_of_the_points(tmp_path: Path) -> None:
    sweep = load(tmp_path, "points=[{optimizer.lr: 0.9}, {batch_size: 32}, {optimizer.lr: 1e-3}]")

    bounded = with_lr_bounds(sweep, SUGGESTION)

    assert bounded.space["optimizer.lr"] == LogUniform(min=1e-3, max=0.9)


def test_a_resolved_sweep_holds_the_bounds_and_asks_for_no_other_test(tmp_path: Path) -> None:
    bounded = with_lr_bounds(load(tmp_path), SUGGESTION)
    resolved = tmp_path / "resolved.yaml"

    resolved.write_text(dump_resolved(bounded))

    assert load_sweep(resolved) == bounded
    assert bounded.lr_range is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "constraints=['optimizer.lr * batch_size < 0.05']",
            (
                "constraints: must be kept by at least 10 of 20000 trials drawn at random, so that every proposal "
                "finds one, but are kept by 0. Loosen them, or narrow the space to where they hold."
            ),
        ),
        (
            "constraints=['optimizer.lr < 0.6']",
            "constraints.0: binds none of 2000 trials drawn at random: optimizer.lr < 0.6. Delete it.",
        ),
        (
            "space.batch_size.when=optimizer.lr < 1e-3",
            (
                "space.batch_size.when: never holds, by 2000 trials drawn at random: optimizer.lr < 1e-3. "
                "Change it, or drop it."
            ),
        ),
    ],
)
def test_bounds_that_make_nonsense_of_constraints_or_conditions_are_refused(
    tmp_path: Path, override: str, message: str
) -> None:
    sweep = load(tmp_path, override)

    with pytest.raises(SweepError) as caught:
        with_lr_bounds(sweep, SUGGESTION)

    assert str(caught.value) == (
        f"sweep sweep: {message} So it is with optimizer.lr from 0.002 to 0.5, as lr_range proposes."
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "space={batch_size: 'choice(32, 64)'}",
            (
                "lr_range: needs optimizer.lr: loguniform(...) in the space, to set its bounds, but it is not "
                "searched. Change one of them."
            ),
        ),
        (
            "space.optimizer.lr=uniform(0.1, 1)",
            (
                "lr_range: needs optimizer.lr: loguniform(...) in the space, to set its bounds, but its domain is "
                "uniform. Change one of them."
            ),
        ),
        (
            "space.optimizer.kind=choice(sgd, adamw)",
            (
                "lr_range: needs one optimizer, for each has bounds of its own, but optimizer.kind is searched. "
                "Drop it from the space, or drop lr_range."
            ),
        ),
    ],
)
def test_a_range_test_without_bounds_to_set_is_refused(tmp_path: Path, override: str, message: str) -> None:
    mistakes = find_mistakes(tmp_path, override)

    assert mistakes == f"sweep.yaml:5: {message}"


def test_a_range_that_does_not_rise_is_refused(tmp_path: Path) -> None:
    mistakes = find_mistakes(tmp_path, "lr_range={min: 1, max: 0.1}")

    assert mistakes == "sweep.yaml: lr_range: `min < max` must hold, but got min=1, max=0.1. Swap them."
