"""Weights that another trial has learnt."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from hpo.training.bundles import read_weights
from hpo.training.depth import layers_by_depth
from hpo.training.initializers.layers import Initial
from hpo.training.initializers.scaled import KaimingNormal

MOST_NAMED = 4
"""Tensors that a message names."""


class Pretrained(Initial):
    """The parameters and running statistics of an exported model; a head that does not fit is `kaiming_normal`.

    Tensors go by name, in which layers without tensors do not count: with a dropout more or less, a network is the
    same. Inputs are normalised as this sweep's data say, not as the bundle's were. Where the bundle was trained on
    examples that are validated on here, what is measured here is too good.
    """

    kind: Literal["pretrained"] = "pretrained"
    bundle: Annotated[Path, Field(strict=False)]
    """Folder of an exported model; relative to the sweep file."""
    head: Literal["kept", "new"] = "kept"
    """The last layer with weights; kept: the bundle's, unless its classes are other ones; new: drawn."""

    @model_validator(mode="after")
    def _keeps_what_it_reads(self) -> Self:
        if self.head == "kept" and self.output_bias != "zero":
            raise ValueError(
                f"output_bias: {self.output_bias} overwrites the bias of a head that is kept. "
                "Delete it, or set head: new."
            )
        return self

    def __call__(self, module: nn.Module, generator: torch.Generator, inputs: torch.Tensor | None = None) -> None:
        theirs, own = _by_place(read_weights(self.bundle)), _by_place(module.state_dict())
        last = layers_by_depth(module)[-1]
        head = {place for place, tensor in own.items() if tensor.name.rpartition(".")[0] in last}
        misfits = [place for place in own | theirs if _shape(own, place) != _shape(theirs, place)]
        if strangers := [place for place in misfits if place not in head or place not in theirs]:
            raise ValueError(_complaint(self.bundle, strangers, own, theirs))
        KaimingNormal()(module, generator)
        is_kept = self.head == "kept" and not misfits
        for place, tensor in own.items():
            if is_kept or place not in head:
                tensor.value.copy_(theirs[place].value)


class _Tensor(NamedTuple):
    name: str
    value: torch.Tensor


def _by_place(named: Mapping[str, torch.Tensor]) -> dict[str, _Tensor]:
    """`0.weight`, `3.weight` -> `0.weight`, `1.weight`: numbered layers count if they have tensors."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for name in named:
        for folder, number in _numbers(name):
            numbers[folder].add(number)
    found = {}
    for name, value in named.items():
        place = name.split(".")
        for folder, number in _numbers(name):
            place[folder.count(".")] = str(sorted(numbers[folder]).index(number))
        found[".".join(place)] = _Tensor(name, value)
    return found


def _numbers(name: str) -> Iterator[tuple[str, int]]:
    """The numbers in a tensor's name, each with all that comes before it and the dot."""
    for match in re.finditer(r"(?<![^.])\d+(?=\.)", name):
        yield name[: match.start()], int(match.group())


def _shape(tensors: Mapping[str, _Tensor], place: str) -> list[int] | None:
    return list(tensors[place].value.shape) if place in tensors else None


def _complaint(bundle: Path, places: Sequence[str], own: Mapping[str, _Tensor], theirs: Mapping[str, _Tensor]) -> str:
    """What does not fit, in words."""
    found = []
    for place in places[:MOST_NAMED]:
        name = (own.get(place) or theirs[place]).name
        there, here = (_shape(tensors, place) or "missing" for tensors in (theirs, own))
        found.append(f"{name} is {there} there and {here} here")
    rest = f", and {len(places) - MOST_NAMED} more do not fit" if len(places) > MOST_NAMED else ""
    return (
        f"initializer.bundle: all tensors of {bundle} but the head's must fit the network, but "
        f"{', '.join(found)}{rest}. "
        "It must hold the same network, for inputs of the same size, with no norms folded: see its card.json."
    )
