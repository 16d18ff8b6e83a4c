"""Where a sweep is remembered, and where its trials' states lie."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from hpo.config import Config
from hpo.paths import SweepPaths
from hpo.search.places import Place, Shared
from hpo.sizes import Size
from hpo.uris import holds_password, masked

SCHEMES = ("s3", "gs", "abfs", "abfss", "hdfs", "file")
"""Of addresses that pyarrow opens."""
ADDRESS = r"^\w+://"


class Storage(Config):
    """Where a sweep is remembered."""

    study: Annotated[str, Field(min_length=1)] = "sqlite"
    """sqlite: a file in the sweep's folder; or the address of a PostgreSQL database, which holds many studies:
    `postgresql://user@host:5432/name`. It holds no password: `${NAME}` in it stands for a variable of the environment.
    """
    checkpoints: Annotated[
        Annotated[str, Field(pattern=ADDRESS)] | Annotated[Path, Field(strict=False)],
        Field(union_mode="left_to_right"),
    ] = Path("runs")
    """Holds one folder per sweep; relative to the current folder. Or the address of a store, as `s3://bucket/prefix`:
    then only training states lie there, and the sweeps' folders in `runs`. Credentials come from the environment of
    driver and workers (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`).
    """
    keep: Size | None = None
    """The most that the training states of a sweep may take, as 500MB or 2GB; none: all are kept.

    States that trials go on from stay, and the winner's. Of trials that have ended the worst go first.
    """

    @property
    def folder(self) -> Path:
        """Holds one folder per sweep."""
        return self.checkpoints if isinstance(self.checkpoints, Path) else Path("runs")

    def place(self, paths: SweepPaths) -> Place:
        """Where the study of a sweep is kept."""
        return paths.study if self.study == "sqlite" else Shared(self.study, paths.sweep_id)

    def located(self, paths: SweepPaths) -> SweepPaths:
        """The paths of a sweep, with where its training states lie."""
        return paths if isinstance(self.checkpoints, Path) else replace(paths, remote=self.checkpoints)

    @field_validator("study")
    @classmethod
    def _check_study(cls, study: str) -> str:
        if study != "sqlite" and not study.startswith("postgresql://"):
            raise ValueError(f"must be sqlite or postgresql://user@host:5432/database, but got {masked(study)}.")
        if holds_password(study):
            raise ValueError(
                f"must hold no password, for others may read the file, but got {masked(study)}. Export it, and name "
                "the variable instead, as in postgresql://me:${HPO_PASSWORD}@host/hpo."
            )
        return study

    @field_validator("checkpoints")
    @classmethod
    def _check_checkpoints(cls, checkpoints: Path | str) -> Path | str:
        if isinstance(checkpoints, Path):
            return checkpoints
        scheme = checkpoints.partition("://")[0]
        if scheme not in SCHEMES:
            raise ValueError(
                f"must be a folder, or an address that begins with one of {', '.join(SCHEMES)}, but got "
                f"{masked(checkpoints)}. Write s3://bucket/prefix."
            )
        if holds_password(checkpoints):
            raise ValueError(
                f"must hold no credentials, for others may read the file, but got {masked(checkpoints)}. Export "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else the store reads from the environment."
            )
        return checkpoints
