import math
from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from hpo.training.schedules import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Fge,
    Linear,
    OneCycle,
    Plateau,
    PlateauMemory,
    Polynomial,
    Schedule,
    Step,
    WarmRestarts,
    WarmupStableDecay,
)

NUM_STEPS = 50


def rates(scheduler: LRScheduler) -> list[float]:
    """The factors that torch's own scheduler gives over NUM_STEPS steps, at a peak of 1."""
    factors = []
    for _ in range(NUM_STEPS):
        factors.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return factors


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [
        (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        (Cosine(warmup=0, floor=0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, NUM_STEPS, eta_min=0.1)),
        (Linear(warmup=0, floor=0.2), lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, NUM_STEPS)),
        (
            Polynomial(warmup=0, power=3),
            lambda o: torch.optim.lr_scheduler.PolynomialLR(o, NUM_STEPS, power=3),
        ),
        (
            Exponential(floor=0.1),
            lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.1 ** (1 / NUM_STEPS)),
        ),
        (
            WarmRestarts(cycles=5, floor=0.1),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, NUM_STEPS // 5, eta_min=0.1),
        ),
        (
            WarmRestarts(cycles=2, stretch=4),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, NUM_STEPS // 5, T_mult=4),
        ),
        (
            Cyclic(cycles=5, floor=0.1),
            lambda o: torch.optim.lr_scheduler.CyclicLR(
                o, 0.1, 1.0, step_size_up=NUM_STEPS // 10, cycle_momentum=False
            ),
        ),
        (
            Cyclic(cycles=5, floor=0.1, decay=0.5),
            lambda o: torch.optim.lr_scheduler.CyclicLR(
                o, 0.1, 1.0, step_size_up=NUM_STEPS // 10, mode="triangular2", cycle_momentum=False
            ),
        ),
        (Step(every=0.2, gamma=0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, NUM_STEPS // 5, gamma=0.5)),
    ],
)
def test_a_schedule_equals_torchs_own(
    schedule: Schedule, reference: Callable[[torch.optim.Optimizer], LRScheduler]
) -> None:
    ours = [schedule(step / NUM_STEPS) for step in range(NUM_STEPS)]

    assert ours == pytest.approx(rates(reference(optimizer())), abs=1e-9)


@pytest.mark.parametrize(
    "schedule", [Constant(warmup=0.2), Cosine(warmup=0.2), Linear(warmup=0.2), Step(warmup=0.2, every=1.0)]
)
def test_a_warm_up_rises_linearly_to_the_peak(schedule: Schedule) -> None:
    assert [schedule(progress) for progress in (0.05, 0.1, 0.15)] == pytest.approx([0.25, 0.5, 0.75])
    assert schedule(0.2) == pytest.approx(1.0)
    assert 0 < schedule(0.0) < 0.01


def test_cosine_and_linear_reach_their_floor_at_the_end() -> None:
    assert Cosine(warmup=0.3, floor=0.05)(1.0) == pytest.approx(0.05)
    assert Linear(warmup=0.3, floor=0.05)(1.0) == pytest.approx(0.05)


def test_one_cycle_equals_torchs_own_between_its_first_and_last_step() -> None:
    last = NUM_STEPS - 1
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer(), 1.0, NUM_STEPS, pct_start=(0.3 * last + 1) / NUM_STEPS, div_factor=25, final_div_factor=1e4
    )

    ours = [OneCycle(peak=0.3, start=1 / 25, floor=1 / 25e4)(step / last) for step in range(NUM_STEPS)]

    assert ours == pytest.approx(rates(torchs), abs=1e-9)


def test_warmup_stable_decay_has_three_parts() -> None:
    schedule = WarmupStableDecay(warmup=0.1, decay=0.2, floor=0.5)

    assert [schedule(progress) for progress in (0.05, 0.1, 0.5, 0.8, 0.9, 1.0)] == pytest.approx(
        [0.5, 1, 1, 1, 0.75, 0.5]
    )


def test_peaks_of_warm_restarts_shrink_by_their_decay() -> None:
    schedule = WarmRestarts(cycles=4, decay=0.5)

    assert [schedule(cycle / 4) for cycle in range(4)] == pytest.approx([1, 0.5, 0.25, 0.125])


def test_cycles_end_at_the_floor() -> None:
    assert WarmRestarts(cycles=3, stretch=2, floor=0.2)(1.0) == pytest.approx(0.2)
    assert Cyclic(cycles=3, floor=0.2)(1.0) == pytest.approx(0.2)


FALLING = [2.0, 1.5, 1.5, 1.49999, 1.6, math.nan, 1.2, 1.3, 1.3, math.nan, 1.4, 1.3, 1.21, 1.0]
LOSSES = [*FALLING, *[1.1] * 12, 0.9, *[1.0] * 9]


@pytest.mark.parametrize(
    "plateau",
    [
        Plateau(factor=0.5, patience=2),
        Plateau(factor=0.5, patience=0),
        Plateau(factor=0.1, patience=1, cooldown=3),
        Plateau(factor=0.3, patience=2, cooldown=1, threshold=0.0),
        Plateau(factor=0.3, patience=1, threshold=0.2, floor=0.05),
    ],
    ids=str,
)
def test_a_plateau_lowers_the_rate_as_torchs_own_does(plateau: Plateau) -> None:
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer(),
        factor=plateau.factor,
        patience=plateau.patience,
        cooldown=plateau.cooldown,
        threshold=plateau.threshold,
        min_lr=plateau.floor,
        eps=0,
    )
    memory, ours, theirs = PlateauMemory(), [], []

    for loss in LOSSES:
        memory = plateau.after(memory, loss)
        ours.append(memory.factor)
        torchs.step(loss)
        theirs.append(torchs.optimizer.param_groups[0]["lr"])

    assert ours == pytest.approx(theirs)
    assert len(set(ours)) > 2


def test_a_plateau_warms_up_and_then_knows_nothing_of_progress() -> None:
    schedule = Plateau(warmup=0.2)

    assert [schedule(progress) for progress in (0.05, 0.1, 0.2, 0.9)] == pytest.approx([0.25, 0.5, 1, 1])


@pytest.mark.parametrize(
    "schedule",
    [
        WarmRestarts(cycles=3),
        WarmRestarts(cycles=3, stretch=2),
        Cyclic(cycles=4),
        Fge(share=0.25, cycles=3),
    ],
)
def test_cycles_end_where_the_rate_is_lowest(schedule: WarmRestarts | Cyclic | Fge) -> None:
    epochs = 84
    rates = [schedule(step / 8400) for step in range(8401)]

    ends = schedule.cycle_ends(epochs)

    lowest = [step for step in range(1, 8400) if rates[step] <= rates[step - 1] and rates[step] < rates[step + 1]]
    assert ends[-1] == epochs
    assert ends[:-1] == [round(step / 100) for step in lowest]


def test_fge_decays_as_a_cosine_and_then_rises_and_falls_as_in_the_paper() -> None:
    schedule = Fge(warmup=0.1, share=0.2, cycles=2, top=0.5, floor=0.02)
    period = 40  # steps of 400 in all; of them the last 80 are triangles

    def garipov(step: int) -> float:
        """Equation 3 of Garipov et al. 2018, with rates 0.5 and 0.02; steps count from 1."""
        place = ((step - 1) % period + 1) / period
        if place <= 0.5:
            return (1 - 2 * place) * 0.5 + 2 * place * 0.02
        return (2 - 2 * place) * 0.02 + (2 * place - 1) * 0.5

    before = [schedule(step / 400) for step in range(320)]
    triangles = [schedule((320 + step) / 400) for step in range(80)]
    assert before == pytest.approx([Cosine(warmup=0.1, floor=0.02)(step / 320) for step in range(320)])
    assert triangles == pytest.approx([garipov(step + period // 2) for step in range(80)])
    assert schedule.cycle_ends(40) == [32, 36, 40]


def test_the_top_of_a_triangle_is_never_below_its_floor() -> None:
    rates = [Fge(top=0.1, floor=0.3)(progress) for progress in (0.8, 0.825, 0.9)]

    assert rates == pytest.approx([0.3, 0.3, 0.3])


def test_more_cycles_than_epochs_end_together() -> None:
    assert WarmRestarts(cycles=5, stretch=3).cycle_ends(3) == [1, 3]
