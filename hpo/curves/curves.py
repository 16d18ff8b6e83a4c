"""The contract of learning curves that are known before."""

from collections.abc import Sequence
from typing import Protocol

from hpo.records import Curve, Params


class Curves(Protocol):
    """What trials would measure, by their params."""

    @property
    def names(self) -> Sequence[str]:
        """Of the params that decide about a curve."""

    @property
    def num_epochs(self) -> int:
        """Length of every curve."""

    def curve(self, params: Params) -> Curve:
        """What a trial with these params measures.

        Raises:
            DataError: if nothing is known of them.
        """
