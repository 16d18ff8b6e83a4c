"""One optimizer for all lanes of a program: its state, and its updates."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hpo.config import Config
from hpo.training.optimizers.groups import FusedOptimizer, Group, Hyper, LaneOptimizer, LrFactor, Part, parts

Tensors = dict[str, torch.Tensor]


class LaneUpdates:
    """Moves the parameters [L, ...] of all lanes in place, each lane as its own `torch.optim` optimizer would."""

    def __init__(
        self,
        optimizers: Sequence[Config],
        lr_factors: Sequence[LrFactor],
        template: nn.Module,
        params: Tensors,
        hyper: Hyper,
        states: Sequence[Mapping[str, torch.Tensor]],
    ) -> None:
        """Begin at `states`.

        Args:
            optimizers: of each lane, of one kind, with a form for lanes.
            lr_factors: of each lane.
            template: the network of a lane.
            params: by name, [L, ...]; they stay the caller's.
            hyper: the numbers of `optimizers` in which lanes may differ, [L] by field.
            states: of each lane's optimizer, by `kind.parameter`; what is not there is zero.
        """
        first = optimizers[0]
        assert isinstance(first, LaneOptimizer)
        self._optimizer: LaneOptimizer = first
        self._hyper = hyper
        self._names = list(params)
        self._params = [param.detach() for param in params.values()]
        self._state = {
            kind: [_stacked(states, f"{kind}.{name}", param) for name, param in params.items()]
            for kind in first.state_kinds
        }
        self._num_steps = int(next((value for key, value in states[0].items() if key.startswith("step.")), 0))
        self._parts = [_Part(part, self._names, lr_factors, hyper["lr"]) for part in parts(template, lr_factors[0])]
        self._fused = [optimizer for optimizer in optimizers if isinstance(optimizer, FusedOptimizer)]
        self._lane_groups = self._groups_of_lanes()

    def step(self, grads: Sequence[torch.Tensor], rates: Sequence[float], on_device: torch.Tensor) -> None:
        """Update all parameters by their gradients [L, ...], at the rates of the lanes, given twice."""
        self._num_steps += 1
        if self._fused and on_device.device.type == "cpu":
            self._update_one_by_one(grads, rates)
            return
        for part in self._parts:
            group = _group(part, self._params, grads, self._state)
            self._optimizer.update(group, self._hyper, part.scaled(on_device), self._num_steps)

    def state(self, lane: int) -> Tensors:
        """Of one lane, by `kind.parameter`; a view, which the next step changes."""
        named = {
            f"{kind}.{name}": value[lane]
            for kind, values in self._state.items()
            for name, value in zip(self._names, values, strict=True)
        }
        if self._optimizer.counts_steps:
            named |= {f"step.{name}": torch.tensor(float(self._num_steps)) for name in self._names}
        return named

    def _update_one_by_one(self, grads: Sequence[torch.Tensor], rates: Sequence[float]) -> None:
        """On a processor a lane's update is memory-bound: one fused pass while its weights are in the cache."""
        of_lanes = zip(*(grad.unbind() for grad in grads), strict=True)
        for lane, (rate, of_lane) in enumerate(zip(rates, of_lanes, strict=True)):
            for part, group in zip(self._parts, self._lane_groups[lane], strict=True):
                now = Group(group.params, [of_lane[number] for number in part.numbers], group.state, group.decays)
                self._fused[lane].update_one(now, rate * part.factors[lane], self._num_steps)

    def _groups_of_lanes(self) -> list[list[Group]]:
        """Views of each lane's parameters and state, made once; every step brings its gradients."""
        of_lanes = zip(*(param.unbind() for param in self._params), strict=True)
        states = {
            kind: list(zip(*(value.unbind() for value in values), strict=True)) for kind, values in self._state.items()
        }
        return [
            [_group(part, own, own, {kind: of[lane] for kind, of in states.items()}) for part in self._parts]
            for lane, own in enumerate(of_lanes)
        ]


class _Part:
    """A part of the parameters, by number, and the factors of the lanes on its learning rate."""

    def __init__(self, part: Part, names: Sequence[str], lr_factors: Sequence[LrFactor], like: torch.Tensor) -> None:
        self.numbers = [names.index(name) for name in part.names]
        self.decays = part.decays
        self.factors = [part.factor(lr_factor) for lr_factor in lr_factors]
        self._on_device = like.new_tensor(self.factors) if part.has_own_rate else None

    def scaled(self, rates: torch.Tensor) -> torch.Tensor:
        """Learning rates [L] of this part."""
        return rates if self._on_device is None else rates * self._on_device


def _group(
    part: _Part,
    params: Sequence[torch.Tensor],
    grads: Sequence[torch.Tensor],
    state: Mapping[str, Sequence[torch.Tensor]],
) -> Group:
    def pick(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [values[number] for number in part.numbers]

    return Group(pick(params), pick(grads), {kind: pick(values) for kind, values in state.items()}, part.decays)


def _stacked(states: Sequence[Mapping[str, torch.Tensor]], key: str, param: torch.Tensor) -> torch.Tensor:
    """Over lanes; zero where a trial has no state yet, as in `torch.optim`."""
    zeros = torch.zeros_like(param[0])
    return torch.stack([state.get(key, zeros).to(param) for state in states])
