"""The search space as a unit cube: where candidates are drawn, and what a model sees of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.search.distributions import Stored
from hpo.search.shape import Shape

Points = NDArray[np.float64]
"""[n, D], each row a point of the cube: one coordinate for every param, in the order of their names."""
NOTHING: Mapping[str, Stored] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Points as trials."""

    points: Points
    """[n, D], with what a trial does not have in the middle of its axis."""
    present: NDArray[np.bool_]
    """What each has [n, D]."""
    allowed: NDArray[np.bool_]
    """Whether each breaks no constraint [n]."""


@final
class Cube:
    """Params as points of [0, 1]^D and back.

    Integers, steps and choices are cells of equal width. Choices that are numbers in rising order count as steps. A
    trial without some params lies in the middle of their axes.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], shape: Shape | None = None) -> None:
        """Without a `shape` every trial has every param, and any combination is allowed."""
        self._axes = {name: _axis(distribution) for name, distribution in sorted(distributions.items())}
        self._shape = None if shape is None or shape.is_free else shape

    @property
    def names(self) -> list[str]:
        """Of the params [D]."""
        return list(self._axes)

    @property
    def num_axes(self) -> int:
        """D."""
        return len(self._axes)

    @property
    def num_cells(self) -> list[int | None]:
        """Values that each param may take; none where it is continuous [D]."""
        return [axis.num_cells for axis in self._axes.values()]

    @property
    def middle(self) -> dict[str, Stored]:
        """What params come to that a trial does not have."""
        return {name: axis.value(0.5) for name, axis in self._axes.items()}

    @property
    def are_ordered(self) -> list[bool]:
        """Whether the values of each param have an order [D]."""
        return [axis.is_ordered for axis in self._axes.values()]

    @property
    def log_spans(self) -> list[float | None]:
        """log(high / low) of each param that is spread over a logarithm; none where it is not [D]."""
        return [axis.log_span for axis in self._axes.values()]

    def point(self, params: Mapping[str, Stored]) -> NDArray[np.float64]:
        """The middle of the cell in which `params` lie [D]."""
        places = (axis.place(params[name]) if name in params else 0.5 for name, axis in self._axes.items())
        return np.fromiter(places, float, len(self._axes))

    def params(self, point: NDArray[np.float64], given: Mapping[str, Stored] = NOTHING) -> dict[str, Stored]:
        """What a point [D] stands for, whether that is allowed or not, but for what is `given`."""
        places = dict(zip(self._axes, point.tolist(), strict=True))
        if self._shape is None:
            return {name: self._value(places, name) for name in self._axes} | dict(given)
        return self._shape.walk(lambda name: given[name] if name in given else self._value(places, name))

    def settled(self, points: Points) -> "Settled":
        """What [n, D] come to as trials."""
        present, allowed = np.ones(points.shape, dtype=bool), np.ones(len(points), dtype=bool)
        if self._shape is None:
            return Settled(points=points, present=present, allowed=allowed)
        number_of = {name: number for number, name in enumerate(self._axes)}
        for row, point in enumerate(points.tolist()):
            places = dict(zip(self._axes, point, strict=True))
            absent, allowed[row] = self._shape.judge(partial(self._value, places))
            present[row, [number_of[name] for name in absent if name in number_of]] = False
        return Settled(points=np.where(present, points, 0.5), present=present, allowed=allowed)

    def snapped(self, points: Points) -> Points:
        """Each in the middle of its cell, where there are cells [n, D]."""
        rows = [self.point(self.params(point)) for point in points]
        return np.array(rows).reshape(-1, self.num_axes)

    def features(self, points: Points) -> NDArray[np.float64]:
        """[n, d]: numbers from 0 to 1; of a choice without order one column for each, 1 / sqrt(2) where it is taken."""
        columns = [axis.features(points[:, number]) for number, axis in enumerate(self._axes.values())]
        return np.column_stack(columns)

    def _value(self, places: Mapping[str, float], name: str) -> Stored:
        return self._axes[name].value(places[name])


class _Axis:
    """A param that is a number: any, or one of `num_cells` in rising order."""

    is_ordered = True

    def __init__(self, distribution: FloatDistribution | IntDistribution) -> None:
        self._distribution = distribution
        self._low, self._high = float(distribution.low), float(distribution.high)
        step = distribution.step
        self.num_cells = None if step is None else round((self._high - self._low) / step) + 1
        self._is_log = distribution.log
        if self._is_log and self.num_cells is not None:  # cells would not be of equal width
            self._low, self._high, self.num_cells = self._low - 0.5, self._high + 0.5, None
        self.log_span = float(np.log(self._high / self._low)) if self._is_log else None

    def place(self, value: Stored) -> float:
        number = float(value)
        if self.num_cells is not None:
            assert self._distribution.step is not None
            return (round((number - self._low) / self._distribution.step) + 0.5) / self.num_cells
        low, high = self._scale(self._low), self._scale(self._high)
        return float((self._scale(number) - low) / (high - low))

    def value(self, place: float) -> Stored:
        distribution = self._distribution
        if self.num_cells is not None:
            assert distribution.step is not None
            number = self._low + distribution.step * _cell(place, self.num_cells)
        else:
            low, high = self._scale(self._low), self._scale(self._high)
            scaled = low + place * (high - low)
            number = float(np.exp(scaled)) if self._is_log else float(scaled)
        if isinstance(distribution, IntDistribution):
            return min(max(round(number), distribution.low), distribution.high)
        return min(max(number, distribution.low), distribution.high)

    def features(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.num_cells is None:
            return places
        return _cells(places, self.num_cells) / max(1, self.num_cells - 1)

    def _scale(self, number: float) -> float:
        return float(np.log(number)) if self._is_log else number


class _Choices:
    """A param that is one of several; numbers in rising order count as steps."""

    log_span = None

    def __init__(self, choices: Sequence[Stored]) -> None:
        self.num_cells = len(choices)
        self._choices = choices
        numbers = [choice for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool)]
        self.is_ordered = len(numbers) == len(choices) and all(np.diff(numbers) > 0)

    def place(self, value: Stored) -> float:
        return (self._choices.index(value) + 0.5) / len(self._choices)

    def value(self, place: float) -> Stored:
        return self._choices[_cell(place, len(self._choices))]

    def features(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        cells = _cells(places, len(self._choices))
        if self.is_ordered:
            return cells / max(1, len(self._choices) - 1)
        of_choice: NDArray[np.float64] = (cells[:, None] == np.arange(len(self._choices))) / np.sqrt(2.0)
        return of_choice


def _axis(distribution: BaseDistribution) -> _Axis | _Choices:
    match distribution:
        case CategoricalDistribution():
            return _Choices(list(distribution.choices))  # type: ignore[arg-type]
        case FloatDistribution() | IntDistribution():
            return _Axis(distribution)
        case _:
            raise AssertionError(f"{type(distribution).__name__} is no distribution that a domain has")


def _cell(place: float, num_cells: int) -> int:
    return min(int(place * num_cells), num_cells - 1)


def _cells(places: NDArray[np.float64], num_cells: int) -> NDArray[np.float64]:
    return np.minimum(np.floor(places * num_cells), num_cells - 1)
