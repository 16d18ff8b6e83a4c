import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError

from hpo.training.augmentations import Augment
from hpo.training.augmentations.drawn import GREATEST, operate
from hpo.training.augmentations.geometry import Padding, flip, flips_alternating, shift, turn_and_zoom
from hpo.training.augmentations.masks import boxes, grids, patches
from hpo.training.augmentations.mixing import cut_and_mix, mix_up

Array = npt.NDArray[np.float64]


def images(num_images: int = 4, height: int = 6, width: int = 5) -> torch.Tensor:
    """Every pixel a number of its own, above 0."""
    count = num_images * 2 * height * width
    return torch.arange(1, count + 1, dtype=torch.float64).view(num_images, 2, height, width)


def apply(augment: Augment, x: torch.Tensor, epoch: int = 1) -> torch.Tensor:
    torch.manual_seed(0)
    return augment.apply(x, epoch, torch.arange(len(x)))


def bilinear(image: Array, row: float, column: float) -> float:
    """The value at a point of an image [H, W] whose surroundings are 0."""
    top, left = math.floor(row), math.floor(column)
    value = 0.0
    for y in (top, top + 1):
        for x in (left, left + 1):
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                value += image[y, x] * (1 - abs(row - y)) * (1 - abs(column - x))
    return value


def test_nothing_is_changed_by_default() -> None:
    assert Augment().is_identity
    assert not Augment(mix="mixup").is_identity
    assert not Augment(strength=1).is_identity


@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip="random"),
        Augment(flip="alternating"),
        Augment(translate=2),
        Augment(scale_min=0.5),
        Augment(rotate_deg=20),
        Augment(auto="trivial"),
        Augment(auto="rand", auto_magnitude=0.5),
        Augment(brightness=0.3),
        Augment(contrast=0.3),
        Augment(noise_std=0.1),
        Augment(cutout=3),
        Augment(erase=0.8),
        Augment(gridmask=0.8, gridmask_d=4),
        Augment(hide_and_seek=0.4, hide_and_seek_grid=3),
        Augment(strength=3),
    ],
    ids=lambda augment: "-".join(sorted(augment.model_fields_set)),
)
def test_every_change_keeps_shape_and_input_and_follows_the_seed(augment: Augment) -> None:
    x = images(8, 8, 8)
    before = x.clone()

    once, again = apply(augment, x), apply(augment, x)

    assert once.shape == x.shape
    assert once.dtype == x.dtype
    assert once.equal(again)
    assert not once.equal(x)
    assert x.equal(before)


def test_a_flip_mirrors_left_and_right() -> None:
    x = images(2)

    flipped = flip(x, torch.tensor([True, False]))

    np.testing.assert_array_equal(flipped[0], x[0].numpy()[:, :, ::-1])
    assert flipped[1].equal(x[1])


def test_random_flips_turn_half_of_the_images() -> None:
    x = images(1).expand(4000, -1, -1, -1)

    flipped = apply(Augment(flip="random"), x)

    is_flipped = (flipped != x).flatten(1).any(1)
    assert is_flipped.double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_alternating_flips_turn_half_of_the_images_and_the_other_half_in_the_next_epoch() -> None:
    indices = torch.arange(4000)

    first, second, third = (flips_alternating(indices, epoch) for epoch in (1, 2, 3))

    assert first.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert second.equal(~first)
    assert third.equal(first)
    neighbours = (first[1:] == first[:-1]).double().mean().item()
    assert neighbours == pytest.approx(0.5, abs=0.15)


def test_alternating_flips_go_by_the_example_not_by_its_place_in_the_batch() -> None:
    shuffled = torch.randperm(100, generator=torch.Generator().manual_seed(0))

    assert flips_alternating(shuffled, 1).equal(flips_alternating(torch.arange(100), 1)[shuffled])


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_a_shift_is_a_crop_of_the_padded_image(padding: Padding) -> None:
    x = images(3)
    down, right = torch.tensor([2, -1, 0]), torch.tensor([-2, 1, 0])

    shifted = shift(x, down, right, reach=2, padding=padding)

    for number, image in enumerate(x.numpy()):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="reflect" if padding == "reflect" else "constant")
        top, left = 2 - int(down[number]), 2 - int(right[number])
        np.testing.assert_array_equal(shifted[number], padded[:, top : top + 6, left : left + 5])


def test_translation_reaches_every_shift_as_often_as_any_other() -> None:
    x = torch.zeros(5000, 1, 7, 7)
    x[:, :, 3, 3] = 1

    shifted = apply(Augment(translate=1, padding="zero"), x)

    often = shifted.mean((0, 1))
    assert often[2:5, 2:5].numpy() == pytest.approx(np.full((3, 3), 1 / 9), abs=0.02)
    assert often.sum().item() == pytest.approx(1)


def test_a_turn_is_counter_clockwise() -> None:
    x = images(1, 6, 6)

    turned = turn_and_zoom(x, torch.tensor([math.pi / 2]), torch.ones(1), torch.zeros(1, 2), "zero")

    np.testing.assert_allclose(turned, np.rot90(x.numpy(), axes=(2, 3)), atol=1e-4)


@pytest.mark.parametrize(
    ("angle", "side", "offset"), [(0.3, 1.0, (0.0, 0.0)), (0.0, 0.7, (0.3, -0.2)), (-0.5, 0.8, (0.1, 0.2))]
)
def test_a_turn_with_a_zoom_is_bilinear_interpolation(angle: float, side: float, offset: tuple[float, float]) -> None:
    x = images(1, 6, 4)
    height, width = 6, 4

    seen = turn_and_zoom(x, torch.tensor([angle]), torch.tensor([side]), torch.tensor([offset]), "zero")

    expected = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            right, down = column - (width - 1) / 2, row - (height - 1) / 2
            source_right = side * (math.cos(angle) * right - math.sin(angle) * down) + offset[0] * width / 2
            source_down = side * (math.sin(angle) * right + math.cos(angle) * down) + offset[1] * height / 2
            at = source_down + (height - 1) / 2, source_right + (width - 1) / 2
            expected[row, column] = bilinear(x[0, 0].numpy(), *at)
    np.testing.assert_allclose(seen[0, 0], expected, atol=1e-4)


def test_rotation_draws_angles_evenly_either_way() -> None:
    ramp = torch.arange(9.0).expand(3000, 1, 9, 9) - 4  # how far to the right of the centre

    turned = apply(Augment(rotate_deg=40), ramp)[:, 0]

    right, down = turned[:, 4, 5] - turned[:, 4, 4], turned[:, 5, 4] - turned[:, 4, 4]
    degrees = torch.atan2(down, right).rad2deg()
    assert degrees.abs().max().item() <= 40 + 1e-3
    assert degrees.mean().item() == pytest.approx(0, abs=1.5)
    assert degrees.std().item() == pytest.approx(40 / math.sqrt(3), abs=0.7)


def test_a_zoom_shows_no_more_than_there_is() -> None:
    x = torch.ones(500, 1, 8, 8)

    seen = apply(Augment(scale_min=0.3, padding="zero"), x)

    inner = seen[:, :, 1:-1, 1:-1]
    assert inner.numpy() == pytest.approx(np.ones(inner.shape), abs=1e-5)


def test_a_zoom_draws_the_shown_share_of_the_area_evenly() -> None:
    ramp = torch.arange(8.0).expand(3000, 1, 8, 8)

    seen = apply(Augment(scale_min=0.4), ramp)

    areas = (seen[:, 0, 4, 5] - seen[:, 0, 4, 4]) ** 2
    assert areas.min().item() + 1e-4 >= 0.4
    assert areas.max().item() <= 1 + 1e-4
    assert areas.mean().item() == pytest.approx(0.7, abs=0.01)
    assert areas.std().item() == pytest.approx(0.6 / math.sqrt(12), abs=0.01)


def test_a_drawn_operation_of_a_kind_is_its_formula() -> None:
    x = images(8, 9, 7)
    names, strength = list(GREATEST), 0.4
    amounts = [0.4 * GREATEST[name] for name in names]

    out = operate(x, torch.arange(8), torch.full((8,), strength), "zero")

    rows, columns = np.arange(9.0), np.arange(7.0)
    sheared_right = [np.interp(columns - amounts[2] * (row - 4), columns, x[2, 0, int(row)], 0, 0) for row in rows]
    sheared_down = [
        np.interp(rows - amounts[3] * (column - 3), rows, x[3, 0, :, int(column)], 0, 0) for column in columns
    ]
    expected = {
        "nothing": x[0, 0],
        "turn": turn_and_zoom(x[1:2], torch.tensor([amounts[1]]), torch.ones(1), torch.zeros(1, 2), "zero")[0, 0],
        "brightness": x[6, 0] + 0.36,
        "contrast": x[7].mean() + 1.36 * (x[7, 0] - x[7].mean()),
    }
    for name, wanted in expected.items():
        np.testing.assert_allclose(out[names.index(name), 0], wanted, rtol=1e-5)
    inner = slice(2, -2)
    np.testing.assert_allclose(out[2, 0, inner, inner], np.stack(sheared_right)[inner, inner], rtol=1e-5)
    np.testing.assert_allclose(out[3, 0, inner, inner], np.stack(sheared_down, 1)[inner, inner], rtol=1e-5)
    assert amounts[1:] == pytest.approx([math.radians(12), 0.12, 0.12, 60 / 331, 60 / 331, 0.36, 0.36])


def test_a_drawn_shift_moves_right_and_down_by_its_share() -> None:
    x, by_a_pixel = images(2, 6, 6), 1 / (6 * 150 / 331)

    right, down = operate(x, torch.tensor([4, 5]), torch.full((2,), by_a_pixel), "zero")

    np.testing.assert_allclose(right[:, :, 1:], x[0, :, :, :-1], rtol=1e-5)
    np.testing.assert_allclose(down[:, 1:], x[1, :, :-1], rtol=1e-5)
    np.testing.assert_allclose(right[:, :, 0], 0, atol=1e-3)
    np.testing.assert_allclose(down[:, 0], 0, atol=1e-3)


def test_trivial_draws_each_operation_as_often_as_any_other_and_every_strength() -> None:
    x = images(1, 8, 8).expand(4000, -1, -1, -1)

    added = (apply(Augment(auto="trivial"), x) - x).flatten(1)

    of_one_number = added.amax(1) - added.amin(1) < 1e-9
    brighter = added[of_one_number, 0]
    assert (brighter == 0).sum().item() / 4000 == pytest.approx(1 / 8, abs=0.02)
    brighter = brighter[brighter != 0]
    assert len(brighter) / 4000 == pytest.approx(1 / 8, abs=0.02)
    assert brighter.abs().max().item() <= 0.9
    assert brighter.mean().item() == pytest.approx(0, abs=0.08)
    assert brighter.std().item() == pytest.approx(0.9 / math.sqrt(3), abs=0.04)


def test_rand_does_two_operations_of_one_strength() -> None:
    x = images(1, 8, 8).expand(6000, -1, -1, -1)

    added = (apply(Augment(auto="rand", auto_magnitude=0.5), x) - x).flatten(1)

    of_one_number = added.amax(1) - added.amin(1) < 1e-9
    often = Counter(round(number, 6) for number in added[of_one_number, 0].tolist())
    assert set(often) == {0, 0.45, -0.45, 0.9, -0.9}
    assert (often[0.45] + often[-0.45]) / 6000 == pytest.approx(2 / 64, abs=0.01)
    assert (often[0.9] + often[-0.9]) / 6000 == pytest.approx(0.5 / 64, abs=0.005)


def test_brightness_adds_one_number_within_the_limit_to_a_whole_image() -> None:
    x = images(2000)

    added = apply(Augment(brightness=0.4), x) - x

    spread = added.flatten(1).amax(1) - added.flatten(1).amin(1)
    assert spread.max().item() == pytest.approx(0, abs=1e-6)
    of_each = added.mean((1, 2, 3))
    assert of_each.abs().max().item() <= 0.4 + 1e-6
    assert of_each.mean().item() == pytest.approx(0, abs=0.02)
    assert of_each.std().item() == pytest.approx(0.4 / math.sqrt(3), abs=0.01)


def test_contrast_scales_the_distance_from_the_images_own_mean() -> None:
    x = images(1000)

    changed = apply(Augment(contrast=0.5), x)

    torch.testing.assert_close(changed.mean((1, 2, 3)), x.mean((1, 2, 3)))
    factors = changed.std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.5 <= factors.min().item() < 0.51
    assert 1.49 < factors.max().item() <= 1.5


def test_noise_has_the_deviation_asked_for_on_any_rows() -> None:
    x = torch.zeros(200, 100)

    noise = apply(Augment(noise_std=0.2), x)

    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.2, abs=0.01)


def test_a_box_is_cut_off_at_the_edges() -> None:
    mask = boxes(torch.tensor([-1, 3]), torch.tensor([2, 0]), torch.tensor([3, 9]), torch.tensor([9, 1]), (5, 4))

    assert mask[0, 0].int().tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert mask[1, 0].int().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]


def test_cutout_hides_a_square_centred_on_every_pixel_as_often_as_on_any_other() -> None:
    x = torch.ones(6000, 2, 6, 6)

    hidden = apply(Augment(cutout=3), x) == 0

    centred = np.zeros((6, 6))
    for row in range(6):
        for column in range(6):
            centred[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] += 1 / 36
    assert hidden[:, 0].double().mean(0).numpy() == pytest.approx(centred, abs=0.025)
    assert hidden[:, 0].equal(hidden[:, 1])
    assert set(hidden[:, 0].sum((1, 2)).tolist()) == {4, 6, 9}


def test_random_erasing_fills_a_box_of_a_share_of_the_images_with_noise() -> None:
    x = torch.full((2000, 1, 20, 20), 1e3)

    erased = apply(Augment(erase=0.7), x)

    is_noise = erased != 1e3
    share = is_noise.double().mean((1, 2, 3))
    touched = share > 0
    assert touched.double().mean().item() == pytest.approx(0.7, abs=0.04)
    assert 0.01 <= share[touched].min().item() < 0.04
    assert 0.35 < share[touched].max().item() < 0.44
    assert erased[is_noise].std().item() == pytest.approx(1, abs=0.02)
    for mask in is_noise[touched][:50, 0]:
        rows, columns = mask.any(1).sum(), mask.any(0).sum()
        assert rows * columns == mask.sum()


def test_a_grid_hides_squares_at_its_distance() -> None:
    mask = grids(torch.tensor([0, 3]), torch.tensor([0, 1]), period=4, width=2, size=(5, 6))

    squares = [[1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 1], [0] * 6, [0] * 6, [1, 1, 0, 0, 1, 1]]
    moved = [[0, 1, 1, 0, 0, 1], [0] * 6, [0] * 6, [0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 0, 1]]
    assert mask[:, 0].int().tolist() == [squares, moved]


def test_gridmask_hides_the_share_that_the_paper_gives() -> None:
    x = torch.ones(1000, 1, 20, 20)

    hidden = apply(Augment(gridmask=0.8, gridmask_d=10, gridmask_r=0.6), x) == 0

    share = hidden.double().mean((1, 2, 3))
    assert share.unique().tolist() == pytest.approx([0, (1 - 0.6) ** 2])
    assert (share > 0).double().mean().item() == pytest.approx(0.8, abs=0.04)


def test_patches_cover_the_image_even_where_sides_do_not_divide() -> None:
    mask = patches(torch.tensor([[[True, False], [False, True]]]), size=(3, 5))

    assert mask[0, 0].int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]


def test_hide_and_seek_hides_each_patch_with_its_probability() -> None:
    x = torch.ones(2000, 1, 8, 8)

    hidden = (apply(Augment(hide_and_seek=0.3, hide_and_seek_grid=4), x) == 0).double()

    of_patches = hidden.view(2000, 4, 2, 4, 2).mean((2, 4))
    assert set(of_patches.flatten().tolist()) == {0.0, 1.0}
    assert of_patches.mean().item() == pytest.approx(0.3, abs=0.01)


def test_mixup_weighs_inputs_as_the_paper_does() -> None:
    x = torch.tensor([[1.0, 2.0], [10.0, 20.0]])

    mixed = mix_up(x, torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))

    assert mixed.tolist() == [[3.25, 6.5], [5.5, 11.0]]


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_labels_are_shared_as_inputs_are(mix: str) -> None:
    """Images that are nothing but their label tell how much of each there is."""
    y = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(1))
    x = y.double().view(-1, 1, 1, 1).expand(-1, 2, 9, 7)
    torch.manual_seed(0)

    mixed_x, mixed = Augment.model_validate({"mix": mix, "mix_alpha": 0.7}).mixed(x, y)

    assert mixed.y.equal(y)
    assert sorted(mixed.other_y.tolist()) == sorted(y.tolist())
    torch.testing.assert_close(mixed_x.mean((1, 2, 3)), mixed.share * y + (1 - mixed.share) * mixed.other_y)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    torch.manual_seed(0)

    _, mixed = Augment(mix="mixup", mix_alpha=alpha).mixed(torch.zeros(8000, 1), torch.zeros(8000, dtype=torch.int64))

    assert mixed.share.mean().item() == pytest.approx(0.5, abs=0.015)
    assert mixed.share.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)


def test_a_share_of_the_examples_stays_unmixed() -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 3)

    mixed_x, mixed = Augment(mix="mixup", mix_prob=0.4).mixed(x, torch.zeros(4000, dtype=torch.int64))

    untouched = mixed.share == 1
    assert untouched.double().mean().item() == pytest.approx(0.6, abs=0.03)
    assert mixed_x[untouched].equal(x[untouched])


def test_cutmix_counts_the_box_as_it_was_cut_off_at_the_edge() -> None:
    x = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])

    pasted, share = cut_and_mix(
        x, torch.tensor([1, 0]), torch.tensor([0.75, 0.75]), torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    )

    assert pasted[0, 0].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert pasted[1, 0].tolist() == [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    assert share.tolist() == [1 - 1 / 16, 1 - 4 / 16]


def test_strength_is_one_knob_for_flips_shifts_and_holes() -> None:
    x = images(16, 32, 32)
    spelt_out: Callable[[int, int], Augment] = lambda pixels, hole: Augment(  # noqa: E731
        flip="alternating", translate=pixels, cutout=hole
    )

    assert apply(Augment(strength=1), x).equal(apply(spelt_out(2, 0), x))
    assert apply(Augment(strength=2), x).equal(apply(spelt_out(4, 8), x))
    assert apply(Augment(strength=3), x).equal(apply(spelt_out(4, 12), x))


def test_strength_beside_what_it_sets_is_refused() -> None:
    with pytest.raises(ValidationError, match="strength sets flip and cutout, too, but both are given"):
        Augment(strength=1, flip="random", cutout=4)


@pytest.mark.parametrize(
    ("augment", "shape", "message"),
    [
        (Augment(flip="random", noise_std=0.1), (40,), r"with flip needs images \[channels, height, width\].* \[40\]"),
        (Augment(mix="cutmix"), (40,), "with mix needs images"),
        (Augment(translate=6), (1, 6, 9), "augmentation.translate must be at most 5, for images have 6 pixels"),
        (Augment(cutout=7), (1, 9, 6), "augmentation.cutout must be at most 6"),
        (Augment(gridmask=1, gridmask_d=8), (1, 6, 6), "augmentation.gridmask_d must be at most 6"),
        (Augment(gridmask=1, gridmask_d=4, gridmask_r=0.9), (1, 6, 6), "gridmask_r must leave squares of a pixel"),
        (Augment(hide_and_seek=0.5, hide_and_seek_grid=7), (1, 6, 6), "hide_and_seek_grid must be at most 6"),
    ],
)
def test_what_the_inputs_are_too_small_for_is_refused(augment: Augment, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augment.check(shape)


def test_noise_and_mixup_suit_any_rows() -> None:
    Augment(noise_std=0.1, mix="mixup").check((40,))
    Augment().check((40,))
