"""Who may have how many slots of a cluster."""

import random

import pytest

from hpo.scheduling.shares import BESIDE, EXPIRY_S, TURN_S, Claim, Commons, Stake, allot

EIGHT = [{"CPU": 8.0}]


def claim(priority: float = 1.0, wanted: int = 100, kept: int = 0, **needs: float) -> Claim:
    return Claim(priority=priority, needs=needs or {"CPU": 1.0}, wanted=wanted, kept=kept)


def team(workers: int) -> Claim:
    return Claim(priority=1.0, needs={"CPU": 1.0}, workers=workers, wanted=100)


def shares(*claims: Claim, nodes: list[dict[str, float]] = EIGHT) -> list[int]:
    return allot([Stake(claim=each) for each in claims], nodes)


@pytest.mark.parametrize(
    ("priorities", "nums"),
    [
        ([1], [8]),
        ([1, 1], [4, 4]),
        ([1, 2, 5], [1, 2, 5]),
        ([1, 3], [2, 6]),
        ([1, 100], [1, 7]),
        ([1, 1, 1], [3, 3, 2]),
        ([1] * 8, [1] * 8),
    ],
)
def test_slots_are_shared_by_priority_and_nobody_is_left_without(priorities: list[float], nums: list[int]) -> None:
    assert shares(*(claim(priority) for priority in priorities)) == nums


def test_what_one_does_not_want_is_shared_by_the_others() -> None:
    assert shares(claim(5, wanted=2), claim(1), claim(1)) == [2, 3, 3]
    assert shares(claim(wanted=2), claim(wanted=3)) == [2, 3]


def test_workers_that_rest_are_kept_where_nobody_wants_their_slots() -> None:
    assert shares(claim(wanted=1, kept=8)) == [8]
    assert shares(claim(wanted=1, kept=8), claim(wanted=3)) == [5, 3]
    assert shares(claim(wanted=1, kept=8), claim(wanted=100)) == [1, 7]


def test_segments_that_need_different_things_share_by_what_each_needs_most_of() -> None:
    """The example of Ghodsi et al. 2011, section 4.1: 9 CPUs and 18 GB, tasks of <1, 4> and <3, 1>."""
    nodes = [{"CPU": 9.0, "memory": 18.0}]

    assert shares(claim(CPU=1, memory=4), claim(CPU=3, memory=1), nodes=nodes) == [3, 2]


def test_a_segment_needs_its_room_on_one_node() -> None:
    assert shares(claim(CPU=3), nodes=[{"CPU": 8.0}, {"CPU": 8.0}]) == [4]
    assert shares(claim(CPU=9), nodes=[{"CPU": 8.0}, {"CPU": 8.0}]) == [0]


def test_workers_of_a_segment_may_lie_on_several_nodes_and_all_of_them_count() -> None:
    nodes = [{"CPU": 3.0}, {"CPU": 4.0}]

    assert shares(team(2), nodes=nodes) == [3]
    assert shares(team(2), claim(), nodes=nodes) == [2, 3]  # by slots, not by segments
    assert shares(team(8), claim(), nodes=nodes) == [0, 7]


def test_shares_of_a_gpu_fill_it() -> None:
    assert shares(claim(CPU=1, GPU=0.1), nodes=[{"CPU": 32.0, "GPU": 1.0}]) == [10]


def test_segments_without_a_gpu_leave_nodes_with_gpus_to_others() -> None:
    nodes = [{"CPU": 2.0, "GPU": 2.0}, {"CPU": 2.0}]

    assert shares(claim(CPU=1, wanted=2), claim(CPU=1, GPU=1), nodes=nodes) == [2, 2]


def test_with_too_few_slots_the_first_go_by_priority_then_by_age() -> None:
    assert shares(claim(1), claim(3), claim(2), claim(2), nodes=[{"CPU": 2.0}]) == [0, 1, 1, 0]


def test_whoever_waits_takes_over_after_as_many_turns_as_its_priority_is_smaller() -> None:
    def one_slot(waited_s: float, held_s: float) -> list[int]:
        holder = Stake(claim=claim(5), is_served=True, since_s=held_s)
        waiting = Stake(claim=claim(1), since_s=waited_s)
        return allot([holder, waiting], [{"CPU": 1.0}])

    assert one_slot(waited_s=3.9 * TURN_S, held_s=3.9 * TURN_S) == [1, 0]
    assert one_slot(waited_s=4.1 * TURN_S, held_s=4.1 * TURN_S) == [0, 1]
    assert one_slot(waited_s=4.1 * TURN_S, held_s=0.5 * TURN_S) == [1, 0]


def test_no_slot_is_idle_that_anybody_wants_and_nobody_has_more_than_it_wants() -> None:
    draw = random.Random(0)
    for _ in range(200):
        claims = [claim(draw.choice([0.5, 1, 2, 7]), wanted=draw.randint(1, 9)) for _ in range(draw.randint(1, 12))]
        nodes = [{"CPU": float(draw.randint(0, 5))} for _ in range(draw.randint(0, 4))]

        nums = shares(*claims, nodes=nodes)

        num_slots = int(sum(node["CPU"] for node in nodes))
        assert sum(nums) == min(num_slots, sum(each.wanted for each in claims))
        assert all(num <= each.wanted for num, each in zip(nums, claims, strict=True))
        if num_slots >= len(claims):
            assert min(nums) >= 1


def test_nobody_starves_however_few_slots_there_are() -> None:
    commons, held = Commons(), [0, 0, 0]
    for second in range(40 * int(TURN_S)):
        for k, priority in enumerate((1.0, 2.0, 5.0)):
            held[k] += commons.claim(f"{k}", claim(priority), [{"CPU": 1.0}], float(second)).num

    assert min(held) > 2 * TURN_S
    assert held == sorted(held)


def test_a_sweep_that_claims_two_kinds_of_slot_counts_once() -> None:
    commons, nodes = Commons(), [{"CPU": 1.0, "GPU": 1.0}, {"CPU": 4.0}]
    both = {"one": claim(CPU=1, GPU=1), f"one{BESIDE}": claim(CPU=2), "two": claim(CPU=2)}

    for _ in range(2):
        told = {name: commons.claim(name, each, nodes, now_s=0.0) for name, each in both.items()}

    assert {name: each.num for name, each in told.items()} == {"one": 1, f"one{BESIDE}": 1, "two": 1}
    assert {each.num_sweeps for each in told.values()} == {2}


def test_a_claim_ends_with_its_sweep_or_when_nobody_renews_it() -> None:
    commons = Commons()
    commons.claim("left", claim(), EIGHT, now_s=0.0)
    commons.claim("gone", claim(), EIGHT, now_s=0.0)

    commons.leave("left")

    assert commons.claim("new", claim(), EIGHT, now_s=1.0).num == 4
    assert commons.claim("new", claim(), EIGHT, now_s=EXPIRY_S + 0.1).num == 8
