"""The augmentation section of a recipe."""

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator

from hpo.config import Config
from hpo.training.augmentations.drawn import NUM_OPERATIONS, operate
from hpo.training.augmentations.geometry import Padding, flip, flips_alternating, shift, turn_and_zoom
from hpo.training.augmentations.masks import Size, boxes, grids, patches
from hpo.training.augmentations.mixing import Mixed, cut_and_mix, mix_up

Share = Annotated[float, Field(ge=0, le=1)]

AT_REST = {
    "strength": 0,
    "flip": "none",
    "translate": 0,
    "scale_min": 1.0,
    "rotate_deg": 0.0,
    "auto": "none",
    "brightness": 0.0,
    "contrast": 0.0,
    "noise_std": 0.0,
    "cutout": 0,
    "erase": 0.0,
    "gridmask": 0.0,
    "hide_and_seek": 0.0,
    "mix": "none",
}
"""The switches, and where they are off; every other field shapes what one of them does."""

STRENGTHS = {1: (1 / 16, 0.0), 2: (1 / 8, 1 / 4), 3: (1 / 8, 3 / 8)}
"""Pixels of translation and cutout, as shares of the image's shorter side: at 32 x 32, 2 and 0, 4 and 8, 4 and 12."""


class Augment(Config):
    """Random changes to training inputs, drawn anew for every example and step; nothing by default.

    Inputs are normalised: a unit is a standard deviation of the training split, and 0, which hides, its mean.
    Applied in the order of the fields. Validation inputs are never changed.
    """

    strength: Annotated[int, Field(ge=0, le=3)] = 0
    """One knob for alternating flips, translation and cutout, in proportion to the image: set it instead of those."""
    flip: Literal["none", "random", "alternating"] = "none"
    """Left and right: half of the images, or each in every other epoch (Jordan 2024)."""
    translate: Annotated[int, Field(ge=0)] = 0
    """Largest shift, in pixels: a random crop of the padded image."""
    padding: Padding = "reflect"
    """What shifts and rotations bring in at the edges."""
    scale_min: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Least share of the image's area that is cut out and shown at full size; 1: the whole image."""
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest angle, either way."""
    auto: Literal["none", "trivial", "rand"] = "none"
    """Turns, shears, shifts and changes of light, drawn for each image: one of any strength (TrivialAugment, Mueller &
    Hutter 2021), or two of `auto_magnitude` (RandAugment, Cubuk et al. 2020)."""
    auto_magnitude: Share = 0.3
    """Strength of both, as a share of the greatest; the papers' 9 of 30."""
    brightness: Annotated[float, Field(ge=0)] = 0.0
    """Largest amount added to a whole image, either sign."""
    contrast: Share = 0.0
    """Largest change, either way, of the factor 1 on an image's distance from its own mean."""
    noise_std: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of Gaussian noise on every number."""
    cutout: Annotated[int, Field(ge=0)] = 0
    """Side of a hidden square, in pixels, centred anywhere, so that some fall half outside (DeVries & Taylor 2017)."""
    erase: Share = 0.0
    """Probability that a box of 2 to 40 % of the image is filled with noise (Zhong et al. 2020)."""
    gridmask: Share = 0.0
    """Probability that a grid of squares is hidden (Chen et al. 2020)."""
    gridmask_d: Annotated[int, Field(ge=2)] = 8
    """Distance between squares of the grid, in pixels."""
    gridmask_r: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Share of that distance between squares; (1 - r)^2 of the image is hidden."""
    hide_and_seek: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that each patch is hidden (Kumar Singh & Lee 2017)."""
    hide_and_seek_grid: Annotated[int, Field(ge=2)] = 4
    """Patches along each side."""
    mix: Literal["none", "mixup", "cutmix"] = "none"
    """With another example of the batch: all of it, with a weight (Zhang et al. 2018), or a box (Yun et al. 2019)."""
    mix_alpha: Annotated[float, Field(gt=0)] = 1.0
    """Shares are drawn from Beta(alpha, alpha): near 0 and 1 if small, uniform at 1."""
    mix_prob: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Probability that an example is mixed at all."""

    @model_validator(mode="after")
    def _knob_stands_alone(self) -> Self:
        overruled = [name for name in ("flip", "translate", "cutout") if getattr(self, name) != AT_REST[name]]
        if self.strength > 0 and overruled:
            names = " and ".join(overruled)
            raise ValueError(f"strength sets {names}, too, but both are given. Drop strength, or drop {names}.")
        return self

    @property
    def is_identity(self) -> bool:
        """Whether nothing is ever changed: then nothing is drawn, either."""
        return not self._switched_on()

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Hold the settings against inputs of this shape.

        Raises:
            ValueError: if what needs images meets rows, or images too small for it.
        """
        on = self._switched_on()
        for_images = [name for name in on if name not in ("noise_std", "mix") or on[name] == "cutmix"]
        if for_images and len(input_shape) != 3:
            raise ValueError(
                f"augmentation with {', '.join(for_images)} needs images [channels, height, width], but the data have "
                f"shape {list(input_shape)}. Drop it; noise_std and mix: mixup suit any data."
            )
        if for_images:
            self._check_pixels(min(input_shape[1:]))

    def apply(self, x: torch.Tensor, epoch: int, indices: torch.Tensor) -> torch.Tensor:
        """x [B, ...] -> the same shape, as a new tensor where anything is changed.

        Args:
            x: normalised inputs.
            epoch: from 1; alternating flips go by it.
            indices: of the examples within the training split [B]; alternating flips go by them.
        """
        if self.strength > 0:
            return self._spelt_out(min(x.shape[2:])).apply(x, epoch, indices)
        return self._masked(self._recoloured(self._operated_on(self._moved(x, epoch, indices))))

    def mixed(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, Mixed]:
        """x [B, ...] and y [B], each example mixed with another of the batch as `mix` says."""
        assert self.mix != "none"
        other = torch.randperm(len(x), device=x.device)
        alpha = torch.full((len(x),), self.mix_alpha, dtype=x.dtype, device=x.device)
        drawn = torch.distributions.Beta(alpha, alpha, validate_args=False).sample()
        share = torch.where(_uniform(x) < self.mix_prob, drawn, 1.0)
        if self.mix == "mixup":
            x = mix_up(x, other, share)
        else:
            x, share = cut_and_mix(x, other, share, torch.rand(len(x), 2, device=x.device))
        return x, Mixed(y, y[other], share)

    def _moved(self, x: torch.Tensor, epoch: int, indices: torch.Tensor) -> torch.Tensor:
        if self.flip == "random":
            x = flip(x, _uniform(x) < 0.5)
        elif self.flip == "alternating":
            x = flip(x, flips_alternating(indices, epoch))
        if self.translate > 0:
            reach = self.translate
            down, right = torch.randint(-reach, reach + 1, (2, len(x)), device=x.device)
            x = shift(x, down, right, reach, self.padding)
        if self.scale_min < 1 or self.rotate_deg > 0:
            angles = math.radians(self.rotate_deg) * _either_way(x)
            sides = (self.scale_min + (1 - self.scale_min) * _uniform(x)).sqrt()
            room = (1 - sides).unsqueeze(1)
            x = turn_and_zoom(x, angles, sides, room * (2 * torch.rand(len(x), 2, device=x.device) - 1), self.padding)
        return x

    def _operated_on(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range({"none": 0, "trivial": 1, "rand": 2}[self.auto]):
            strength = _either_way(x)
            if self.auto == "rand":
                strength = self.auto_magnitude * strength.sign()
            x = operate(x, _below(NUM_OPERATIONS, x), strength, self.padding)
        return x

    def _recoloured(self, x: torch.Tensor) -> torch.Tensor:
        if self.brightness > 0:
            x = x + _for_images(self.brightness * _either_way(x), x)
        if self.contrast > 0:
            mean = x.mean((1, 2, 3), keepdim=True)
            x = mean + _for_images(1 + self.contrast * _either_way(x), x) * (x - mean)
        if self.noise_std > 0:
            x = x + self.noise_std * torch.randn_like(x)
        return x

    def _masked(self, x: torch.Tensor) -> torch.Tensor:
        if self.cutout > 0:
            height, width = _size(x)
            side = torch.full((len(x),), self.cutout, device=x.device)
            top, left = (_below(length, x) - self.cutout // 2 for length in (height, width))
            x = x.masked_fill(boxes(top, left, side, side, (height, width)), 0)
        if self.erase > 0:
            x = torch.where(self._erased(x), torch.randn_like(x), x)
        if self.gridmask > 0:
            d = self.gridmask_d
            squares = grids(_below(d, x), _below(d, x), d, self._hidden_width(), _size(x))
            x = x.masked_fill(squares & (_uniform(x) < self.gridmask).view(-1, 1, 1, 1), 0)
        if self.hide_and_seek > 0:
            num = self.hide_and_seek_grid
            hidden = torch.rand(len(x), num, num, device=x.device) < self.hide_and_seek
            x = x.masked_fill(patches(hidden, _size(x)), 0)
        return x

    def _erased(self, x: torch.Tensor) -> torch.Tensor:
        """Masks of boxes of 2 to 40 % of the area and of aspects 0.3 to 1 / 0.3, as far as they fit."""
        height, width = _size(x)
        area = height * width * (0.02 + 0.38 * _uniform(x))
        stretch = (math.log(0.3) * _either_way(x)).exp()
        box_height = (area * stretch).sqrt().round().long().clamp(1, height)
        box_width = (area / stretch).sqrt().round().long().clamp(1, width)
        top = (_uniform(x) * (height - box_height + 1)).long()
        left = (_uniform(x) * (width - box_width + 1)).long()
        is_chosen = (_uniform(x) < self.erase).view(-1, 1, 1, 1)
        return boxes(top, left, box_height, box_width, (height, width)) & is_chosen

    def _hidden_width(self) -> int:
        """Of a square of the grid, in pixels."""
        return self.gridmask_d - math.ceil(self.gridmask_d * self.gridmask_r)

    def _spelt_out(self, side: int) -> "Augment":
        """The same with `strength` as what it stands for at images of this shorter side."""
        shift, hole = (round(share * side) for share in STRENGTHS[self.strength])
        return self.model_copy(
            update={"strength": 0, "flip": "alternating", "translate": max(1, shift), "cutout": hole}
        )

    def _switched_on(self) -> dict[str, str | float]:
        return {name: getattr(self, name) for name, rest in AT_REST.items() if getattr(self, name) != rest}

    def _check_pixels(self, side: int) -> None:
        """Hold what is counted in pixels against the shorter side of the images."""
        limits = {"translate": side - 1, "cutout": side}
        limits |= {"gridmask_d": side} if self.gridmask > 0 else {}
        limits |= {"hide_and_seek_grid": side} if self.hide_and_seek > 0 else {}
        for name, limit in limits.items():
            if getattr(self, name) > limit:
                raise ValueError(
                    f"augmentation.{name} must be at most {limit}, for images have {side} pixels along their shorter "
                    f"side, but is {getattr(self, name)}. Lower it."
                )
        if self.gridmask > 0 and self._hidden_width() == 0:
            raise ValueError(
                f"augmentation.gridmask_r must leave squares of a pixel or more at gridmask_d {self.gridmask_d}, "
                f"but is {self.gridmask_r}. Lower it, or raise gridmask_d."
            )


def _uniform(x: torch.Tensor) -> torch.Tensor:
    """In 0..1 for each example [B], in float32, so that it does not depend on the precision of training."""
    return torch.rand(len(x), dtype=torch.float32, device=x.device)


def _either_way(x: torch.Tensor) -> torch.Tensor:
    """In -1..1 for each example [B]."""
    return 2 * _uniform(x) - 1


def _below(limit: int, x: torch.Tensor) -> torch.Tensor:
    """A whole number from 0, below `limit`, for each example [B]."""
    return torch.randint(limit, (len(x),), device=x.device)


def _for_images(numbers: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return numbers.to(x.dtype).view(-1, 1, 1, 1)


def _size(x: torch.Tensor) -> Size:
    return x.shape[2], x.shape[3]
