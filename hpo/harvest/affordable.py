"""The largest ensemble that keeps to what it may cost, and what each size costs and is worth."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hpo.config import JsonTree
from hpo.ensembles.kinds import AnyEnsemble, Soup, Swa
from hpo.errors import EnsembleError
from hpo.export.cost import Cost, Limits, costs
from hpo.harvest.assembly import Assembly
from hpo.harvest.harvest import Harvest


@dataclass(frozen=True, kw_only=True)
class Size:
    """An ensemble of so many members, selected anew for each."""

    assembly: Assembly
    cost: Cost
    """For one example at a time."""
    is_within: bool
    """Whether it keeps to the limits."""

    def as_tree(self) -> JsonTree:
        """In values that JSON knows; NLL and accuracy are those of examples that have not selected."""
        held_out = self.assembly.fit.held_out
        told = {"num_members": len(self.assembly.members), "val_nll": held_out.nll, "val_accuracy": held_out.accuracy}
        return {**told, **asdict(self.cost), "is_within": self.is_within}


def build(harvest: Harvest, kind: AnyEnsemble) -> tuple[Assembly, list[Size]]:
    """The ensemble that the sweep's limits allow, and all sizes; where there are no limits nothing is timed.

    Raises:
        EnsembleError: see `Harvest.assemble`; or if nothing keeps to the limits.
        BundleError: if a network cannot be converted.
    """
    limits = harvest.sweep.export.limits
    if limits == Limits():
        return harvest.assemble(kind), []
    found = sizes(harvest, kind, limits)
    return largest(found, limits), found


def sizes(harvest: Harvest, kind: AnyEnsemble, limits: Limits) -> list[Size]:
    """From one member to as many as the kind selects; each is converted and timed, which takes seconds.

    Raises:
        EnsembleError: see `Harvest.assemble`.
        BundleError: if a network cannot be converted.
    """
    assemblies = list(_assemblies(harvest, kind))
    members = [
        harvest.networks.members(each.members, each.weights, harvest.sweep.export.inference, is_soup=each.is_soup)
        for each in assemblies
    ]
    measured = costs(members, input_shape=harvest.splits.raw_shape, num_classes=harvest.splits.num_classes)
    return [
        Size(assembly=assembly, cost=cost, is_within=limits.allow(cost))
        for assembly, cost in zip(assemblies, measured, strict=True)
    ]


def largest(found: list[Size], limits: Limits) -> Assembly:
    """The one with most members that keeps to the limits.

    Raises:
        EnsembleError: if none does.
    """
    within = [size for size in found if size.is_within]
    if within:
        return within[-1].assembly
    least = min(found, key=lambda size: size.cost.p95_ms)
    raise EnsembleError(
        f"export.limits: an ensemble must predict an example within {limits.latency_ms or math.inf:g} ms, 95 times of "
        f"100, and take at most {limits.megabytes or math.inf:g} MB, but of its smallest, one takes "
        f"{least.cost.p95_ms:.3g} ms and {least.cost.megabytes:.3g} MB. Raise the limits, or search smaller networks."
    )


def _assemblies(harvest: Harvest, kind: AnyEnsemble) -> Iterator[Assembly]:
    """Of growing size, each size once."""
    if isinstance(kind, Swa | Soup):
        yield harvest.assemble(kind)
        return
    num_before = 0
    for size in range(1, kind.size + 1):
        assembly = harvest.assemble(kind.model_copy(update={"size": size}))
        if len(assembly.members) > num_before:
            num_before = len(assembly.members)
            yield assembly
