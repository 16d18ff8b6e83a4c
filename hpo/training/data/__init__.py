"""Labelled data in memory: `data.load(seed)` returns `Splits`, normalised and split once, on the driver."""

from typing import Annotated

from pydantic import Field

from hpo.training.data.digits import Digits
from hpo.training.data.idx import FashionMnist
from hpo.training.data.npz import Npz
from hpo.training.data.splits import Examples, Splits

Data = Annotated[Digits | FashionMnist | Npz, Field(discriminator="kind")]

__all__ = ["Data", "Digits", "Examples", "FashionMnist", "Npz", "Splits"]
