"""Where `hpo submit` sends a sweep, and what it needs there."""

from typing import Annotated

from pydantic import Field, field_validator

from hpo.config import Config
from hpo.sizes import Size
from hpo.uris import holds_password, masked


class Cluster(Config):
    """Where `hpo submit` sends the sweep, and what it needs there. `hpo run` makes no use of it."""

    address: Annotated[str, Field(min_length=1)] | None = None
    """Of the cluster's dashboard, as `http://head:8265`; none: `--address`, or `HPO_ADDRESS` in the environment, says.
    Those win over this one. It holds no password.
    """
    dependencies: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """What pip installs there for this sweep alone, as `[einops, "timm>=1.0"]`, on top of what the machines have."""
    env: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    """Names of variables whose values driver and workers are given, taken from the environment of whoever submits or
    resumes: `[AWS_SECRET_ACCESS_KEY]`. Values are written nowhere by hpo. Ray keeps them with the job; its pages hide
    them, but whoever may submit jobs can read them.
    """
    exclude: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """What is not sent, as in a `.gitignore`: on top of what `.gitignore` and `.rayignore` say."""
    max_upload: Size = 100_000_000
    """The most that is sent, as 100MB. Ray's own limit is 500 MiB."""

    @field_validator("address")
    @classmethod
    def _check(cls, address: str | None) -> str | None:
        if address is not None and holds_password(address):
            raise ValueError(
                f"must hold no password, for others may read the file, but got {masked(address)}. "
                "Export RAY_AUTH_TOKEN."
            )
        return address
