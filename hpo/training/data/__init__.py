"""Labelled data in memory: `data.load(seed)` returns `Splits`, normalised and split once, on the driver."""

from typing import Annotated

from pydantic import Field

from hpo.training.data.cifar10 import Cifar10
from hpo.training.data.digits import Digits
from hpo.training.data.idx import FashionMnist
from hpo.training.data.images import Images
from hpo.training.data.mnist1d import Mnist1d
from hpo.training.data.npz import Npz
from hpo.training.data.splits import Examples, Splits

Data = Annotated[Digits | Mnist1d | FashionMnist | Cifar10 | Images | Npz, Field(discriminator="kind")]

__all__ = ["Cifar10", "Data", "Digits", "Examples", "FashionMnist", "Images", "Mnist1d", "Npz", "Splits"]
