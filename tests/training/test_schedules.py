import pytest
import torch

from hpo.training.schedules import Constant, Cosine, Linear, Schedule, Step

NUM_STEPS = 50


def rates(scheduler: torch.optim.lr_scheduler.LRScheduler) -> list[float]:
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
        (Step(every=0.2, gamma=0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, NUM_STEPS // 5, gamma=0.5)),
    ],
)
def test_a_schedule_equals_torchs_own(schedule: Schedule, reference: object) -> None:
    ours = [schedule(step / NUM_STEPS) for step in range(NUM_STEPS)]

    assert ours == pytest.approx(rates(reference(optimizer())), abs=1e-9)


@pytest.mark.parametrize("schedule", [Constant(warmup=0.2), Cosine(warmup=0.2), Linear(warmup=0.2), Step(warmup=0.2, every=1.0)])
def test_a_warm_up_rises_linearly_to_the_peak(schedule: Schedule) -> None:
    assert [schedule(progress) for progress in (0.05, 0.1, 0.15)] == pytest.approx([0.25, 0.5, 0.75])
    assert schedule(0.2) == pytest.approx(1.0)
    assert 0 < schedule(0.0) < 0.01


def test_cosine_and_linear_reach_their_floor_at_the_end() -> None:
    assert Cosine(warmup=0.3, floor=0.05)(1.0) == pytest.approx(0.05)
    assert Linear(warmup=0.3, floor=0.05)(1.0) == pytest.approx(0.05)
