"""What each segment is given, and how many train at once."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.config import Config


class Resources(Config):
    """What each segment is given, and how many train at once."""

    cpus: Annotated[float, Field(gt=0)] = 1.0
    """Processor cores per segment, or for each of its workers; a share is allowed."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs per segment, or for each of its workers; 0.5 lets two share one."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Processes that train each trial together, each on its part of every batch, with cpus and gpus for each."""
    lanes: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Trials that train side by side as one program; auto: as many as measured to pay, 1: each alone."""
    max_concurrent: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Segments that train at once; auto: as many as the machines hold."""
    autoscaling: bool = False
    """Whether the cluster starts machines on demand: segments that fit none of today's wait for one, and are no error.
    Needs a `max_concurrent`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.autoscaling and self.max_concurrent == "auto":
            raise ValueError(
                "max_concurrent must be a number where autoscaling is true, for today's machines do not tell how many "
                "there will be, but is auto. Set it."
            )
        if self.workers > 1 and self.gpus not in {0, 1}:
            raise ValueError(
                f"gpus must be 0 or 1 where workers train each trial together, on one GPU each, but workers is "
                f"{self.workers} and gpus {self.gpus:g}. Change one of them."
            )
        if self.workers > 1 and self.lanes not in {"auto", 1}:
            raise ValueError(
                f"lanes must be auto or 1 where workers train each trial together, but workers is {self.workers} and "
                f"lanes {self.lanes}. Change one of them."
            )
        return self
