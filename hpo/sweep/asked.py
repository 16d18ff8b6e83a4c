"""What every sweep file says, whatever it is that trains."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from hpo.config import Config
from hpo.scheduling import Budget
from hpo.spaces.space import Space
from hpo.spaces.values import Value
from hpo.sweep.choosing import AnySampler, AnyScheduler, Auto
from hpo.sweep.cluster import Cluster
from hpo.sweep.resources import Resources
from hpo.sweep.retries import Retries
from hpo.sweep.storage import Storage
from hpo.sweep.wording import NAME
from hpo.tracking.location import as_folder_name
from hpo.uris import holds_password, masked


class Tracking(Config):
    """Where MLflow shows the sweep."""

    uri: Annotated[str, Field(min_length=1)] = "sqlite:///mlflow.db"
    """Of MLflow's server or database; a relative file is relative to the current folder. It holds no password:
    `${NAME}` in it stands for a variable of the environment.
    """
    experiment: Annotated[str, Field(min_length=1), AfterValidator(as_folder_name)] | None = None
    """MLflow's experiment; none: the sweep's name."""

    @field_validator("uri")
    @classmethod
    def _check(cls, uri: str) -> str:
        if holds_password(uri):
            raise ValueError(
                f"must hold no password, for others may read the file, but got {masked(uri)}. Export it, and name the "
                "variable instead, as in postgresql://me:${MLFLOW_PASSWORD}@host/mlflow."
            )
        return uri


def or_none(example: str) -> BeforeValidator:
    """Lets a file say `none`; `example`: what else it may say."""

    def read(value: object) -> object:
        if isinstance(value, str) and value != "none":
            raise ValueError(f"must be none or a mapping such as {example}, but got {masked(value)}.")
        return None if value == "none" else value

    return BeforeValidator(read)


class Asked(Config):
    """The search: what, how, and with what."""

    name: Annotated[str, Field(pattern=NAME)] = "sweep"
    """Lower-case letters, digits, `-` and `_`; the name of the file, when it is not given there."""
    space: Space
    """What is searched: dotted recipe path, or effective coordinate, -> domain."""
    constraints: tuple[str, ...] = ()
    """Comparisons that hold for every trial, of params and settings of the recipe, as `width * batch_size <= 1e6`."""
    points: tuple[Mapping[str, Value], ...] = ()
    """Tried first: dotted path -> value; paths left out are sampled."""
    sampler: AnySampler = Auto()
    """What proposes params."""
    scheduler: AnyScheduler = Auto()
    """Who trains on."""
    budget: Budget = Budget()
    """What may be spent."""
    resources: Resources = Resources()
    """What each segment is given."""
    cluster: Cluster = Cluster()
    """Where `hpo submit` sends the sweep, and what it needs there."""
    retries: Retries = Retries()
    """What is tried again."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of splits, batch order, initial weights and proposals."""
    tracking: Annotated[Tracking | None, or_none("{uri: http://localhost:5000}")] = Tracking()
    """Where MLflow shows the sweep; `none`: nowhere."""
    storage: Storage = Storage()
    """Where the sweep is remembered, and checkpoints lie."""

    @property
    def experiment(self) -> str:
        """MLflow's name for where the sweep is shown."""
        return (self.tracking and self.tracking.experiment) or self.name
