import pytest
import torch
from torch.utils.data import WeightedRandomSampler

from hpo.training.data.batches import BatchOrder
from hpo.training.luck import Luck

ORDERS: list[BatchOrder] = ["shuffled", "balanced", "stratified"]


def imbalanced(sizes: tuple[int, ...] = (500, 300, 150, 50)) -> torch.Tensor:
    """Class indices, in no particular order."""
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("order", ORDERS)
def test_batches_go_by_seed_seed_index_and_epoch_alone(order: BatchOrder) -> None:
    y = imbalanced((20, 10))

    first = torch.cat(Luck(3, 0).batches(1, y, 8, order))

    assert first.equal(torch.cat(Luck(3, 0).batches(1, y, 8, order)))
    for other in (Luck(3, 0).batches(2, y, 8, order), Luck(3, 1).batches(1, y, 8, order), Luck(4, 0).batches(1, y, 8)):
        assert not first.equal(torch.cat(other))


@pytest.mark.parametrize("order", ORDERS)
def test_batch_sizes_cut_one_order_differently(order: BatchOrder) -> None:
    y = imbalanced((20, 13))

    small, large = (Luck(0, 0).batches(1, y, size, order) for size in (4, 16))

    assert [len(batch) for batch in small] == [4, 4, 4, 4, 4, 4, 4, 5]
    assert torch.cat(small).equal(torch.cat(large))


@pytest.mark.parametrize("order", ["shuffled", "stratified"])
def test_an_epoch_sees_every_example_once(order: BatchOrder) -> None:
    y = imbalanced()

    seen = torch.cat(Luck(0, 0).batches(1, y, 64, order))

    assert sorted(seen.tolist()) == list(range(len(y)))


def test_stratified_batches_hold_every_class_in_its_share() -> None:
    y = imbalanced()

    batches = Luck(0, 0).batches(1, y, 40, "stratified")

    for batch in batches:
        counts = y[batch].bincount(minlength=4)
        assert (counts - torch.tensor([20, 12, 6, 2])).abs().max() <= 1


def test_stratified_batches_of_equal_classes_hold_equally_many() -> None:
    y = imbalanced((30, 30, 30))

    batches = Luck(0, 0).batches(1, y, 9, "stratified")

    assert [y[batch].bincount().tolist() for batch in batches] == [[3, 3, 3]] * 10


def test_stratified_batches_are_mixed_anew_in_every_epoch() -> None:
    y = imbalanced((30, 30, 30))

    first, second = (Luck(0, 0).batches(epoch, y, 9, "stratified")[0] for epoch in (1, 2))

    assert sorted(first.tolist()) != sorted(second.tolist())


def test_balanced_batches_draw_every_class_as_often_as_torchs_weighted_sampler() -> None:
    y = imbalanced()
    weights = (1 / y.bincount())[y].tolist()
    sampler = WeightedRandomSampler(weights, 40_000, generator=torch.Generator().manual_seed(0))
    theirs = torch.tensor(list(sampler)).bincount(minlength=1000) / 40_000

    drawn = torch.cat([index for epoch in range(40) for index in Luck(0, 0).batches(epoch, y, 64, "balanced")])

    ours = drawn.bincount(minlength=1000) / len(drawn)
    assert len(drawn) == 40_000
    for number in range(4):
        assert ours[y == number].sum().item() == pytest.approx(0.25, abs=0.01)
        assert theirs[y == number].sum().item() == pytest.approx(0.25, abs=0.01)
        assert ours[y == number].std().item() == pytest.approx(theirs[y == number].std().item(), rel=0.35)


def test_balanced_batches_do_not_miss_that_a_class_has_no_examples() -> None:
    y = torch.tensor([0, 0, 0, 2, 5, 5])

    drawn = torch.cat([index for epoch in range(300) for index in Luck(0, 0).batches(epoch, y, 3, "balanced")])

    shares = drawn.bincount(minlength=6) / len(drawn)
    assert shares.tolist() == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6], abs=0.03)


def test_steps_have_seeds_of_their_own() -> None:
    seeds = [seed for epoch in (1, 2) for seed in Luck(0, 0).step_seeds(epoch, 10)]

    assert len(set(seeds)) == 20
    assert all(0 <= seed < 1 << 63 for seed in seeds)
