"""Learning curves that are known before: tables of what was measured, and models of it."""

from typing import Annotated

from pydantic import Field

from hpo.curves.curves import Curves
from hpo.curves.lcbench import Lcbench
from hpo.curves.table import Table

CurveSource = Annotated[Lcbench | Table, Field(discriminator="kind")]

__all__ = ["CurveSource", "Curves", "Lcbench", "Table"]
