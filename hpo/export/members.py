"""Networks as trials have left them, ready to predict; and averages of several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hpo.ensembles.kinds import Candidate
from hpo.ensembles.soups import Soup, State, average, greedy_soup
from hpo.export.inference import Inference
from hpo.export.networks import Member, Single
from hpo.files import Address
from hpo.training.checkpoint import read_checkpoint
from hpo.training.data import Splits
from hpo.training.evaluate import NUM_AT_ONCE, estimate_norms, predict
from hpo.training.recipe import Recipe
from hpo.training.state import Tensors, TrialState


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Of trials that have learned from the same examples."""

    splits: Splits
    recipe: Callable[[int], Recipe]
    """By which a trial was trained."""
    checkpoint: Callable[[int], Address]
    """Where the last state of a trial lies."""

    def members(
        self, candidates: Sequence[Candidate], weights: Sequence[float], inference: Inference, *, is_soup: bool
    ) -> list[Member]:
        """What leaves: each with its weight; of a soup, the one network that it is.

        Raises:
            EnsembleError: if a soup is asked for of networks that are not of one architecture.
            HpoError: if a state is gone, or damaged.
        """
        modules = [self.average(candidates)] if is_soup else [self.load(candidate) for candidate in candidates]
        return [
            Member(module=module, normalization=self.splits.normalization, weight=weight, inference=inference)
            for module, weight in zip(modules, [1.0] if is_soup else weights, strict=True)
        ]

    def load(self, candidate: Candidate) -> nn.Module:
        """As its trial left it, in eval mode.

        Raises:
            HpoError: if its state is gone, or damaged.
        """
        module = self._build(candidate)
        module.load_state_dict(self._tensors(candidate))
        return module.eval()

    def average(self, candidates: Sequence[Candidate]) -> nn.Module:
        """The network whose weights are the mean of theirs, with statistics of its norms of its own, in eval mode.

        Raises:
            EnsembleError: if they are not of one architecture.
            HpoError: if a state is gone, or damaged.
        """
        module = self._build(candidates[0])
        return self._filled(module, average([self._tensors(candidate) for candidate in candidates]), candidates[0])

    def soup(self, candidates: Sequence[Candidate]) -> Soup:
        """Those of them whose average has the lowest validation NLL; see `greedy_soup`.

        Raises:
            EnsembleError: if they are not of one architecture, or not connected.
        """
        module = self._build(candidates[0])
        labels = torch.from_numpy(self.splits.validation.y)

        def score(state: State) -> float:
            predicted = self.predict(self._filled(module, state, candidates[0]), self.splits.validation.x)
            return float(nn.functional.nll_loss(torch.from_numpy(predicted).double(), labels))

        return greedy_soup([self._tensors(candidate) for candidate in candidates], score)

    def predict(self, module: nn.Module, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
        """Log-probabilities of normalised inputs: [n, C]."""
        log_probs: npt.NDArray[np.float16] = predict(lambda part: module(part).unsqueeze(0), torch.from_numpy(x))[
            0
        ].numpy()
        return log_probs

    def answers(
        self, candidates: Sequence[Candidate], x: npt.NDArray[np.float32], inference: Inference
    ) -> npt.NDArray[np.float32]:
        """Log-probabilities [n, C] of inputs as they came, as an exported model says them.

        Args:
            candidates: one network, or several whose average is asked.
            x: [n, *raw_shape].
            inference: how it predicts.

        Raises:
            EnsembleError: if they are not of one architecture.
            HpoError: if a state is gone, or damaged.
        """
        module = self.load(*candidates) if len(candidates) == 1 else self.average(candidates)
        network = Single(Member(module=module, normalization=self.splits.normalization, inference=inference))
        with torch.inference_mode():
            parts = [network(part) for part in torch.from_numpy(x).split(NUM_AT_ONCE)]
        log_probs: npt.NDArray[np.float32] = torch.cat(parts).numpy()
        return log_probs

    def _build(self, candidate: Candidate) -> nn.Module:
        return self.recipe(candidate.trial_id).model.build(self.splits.input_shape, self.splits.num_classes)

    def _filled(self, module: nn.Module, state: State, like: Candidate) -> nn.Module:
        module.load_state_dict(dict(state))
        estimate_norms(module, module, torch.from_numpy(self.splits.train.x), self.recipe(like.trial_id).batch_size)
        return module.eval()

    def _tensors(self, candidate: Candidate) -> Tensors:
        return _of(candidate, read_checkpoint(self.checkpoint(candidate.trial_id)))


def _of(candidate: Candidate, state: TrialState) -> Tensors:
    if candidate.is_last:
        return state.averaged if candidate.weights == "averaged" else state.module
    return next(snapshot.module for snapshot in state.course.snapshots if snapshot.epoch == candidate.epoch)
