"""What each segment is given, and how many train at once."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.config import Config


class Also(Config):
    """Another kind of slot, in what the others leave of the machines."""

    cpus: Annotated[float, Field(gt=0)] = 1.0
    """Processor cores per segment of another kind of slot, in what the others leave of the machines."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs per segment of that kind; 0: it trains on processor cores."""


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
    also: Also | None = None
    """Another kind of slot, such as cores where no GPU is left: a segment goes to whichever is free, and
    holds as many trials as suits how fast they train there. What is drawn on a GPU, such as dropout, is drawn otherwise
    than on a core, and sums differ in their last digits: such a sweep does not repeat exactly."""
    autoscaling: bool = False
    """Whether the cluster starts machines on demand: segments that fit none of today's wait for one, and are no error.
    Needs a `max_concurrent`."""
    priority: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Among the sweeps that share a Ray cluster: one of 2 gets twice the slots of one of 1 while both have work. Where
    there are more sweeps than slots they take turns, that of 2 for longer."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.autoscaling and self.max_concurrent == "auto":
            raise ValueError(
                "max_concurrent must be a number where autoscaling is true, for today's machines do not tell how many "
                "there will be, but is auto. Set it."
            )
        if self.also is not None:
            self._check_also(self.also)
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

    def _check_also(self, also: Also) -> None:
        if self.workers > 1:
            raise ValueError(
                f"workers must be 1 with also, whose segments have one each, but is {self.workers}. Delete one of them."
            )
        if self.autoscaling:
            raise ValueError(
                "autoscaling must be false with also, for what machines to come will have left is not known, but is "
                "true. Delete one of them."
            )
        if (also.cpus, also.gpus) == (self.cpus, self.gpus):
            raise ValueError(
                f"also must ask for something else than resources does, but both have cpus {also.cpus:g} and gpus "
                f"{also.gpus:g}. Delete it, for slots are as many as the machines hold."
            )
