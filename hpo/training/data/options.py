"""What every kind of data can be asked for, beside its own settings."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.config import Config


class DataOptions(Config):
    """How examples are split and prepared; whatever is fitted, is fitted on the training split alone."""

    kind: str = ""
    """Where examples come from; every kind says its own."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training split that is trained on; validation and test splits stay as they are."""
    stratify: bool = False
    """Whether every split holds the classes in their shares of the whole."""
    shuffle_labels: bool = False
    """Whether training examples trade labels at random: a bad control, which must stay at chance on validation."""
    image_size: Annotated[int, Field(ge=0)] = 0
    """Height and width that images are resized to, once, before `input_norm`; 0: as they are. Bundles resize inside."""
    input_norm: Literal["standardize", "minmax", "none"] = "standardize"
    """By channel, for images, or by feature, for rows: mean 0 and deviation 1; or from 0 to 1; or as it came."""
    whiten: Literal["none", "pca", "zca"] = "none"
    """Decorrelate features to variance 1, after `input_norm`; pca gives rows of components, zca the nearest inputs."""
    pca_dim: Annotated[int, Field(ge=0)] = 0
    """Components that are kept, those of the largest variance; 0: all."""
    whiten_eps: Annotated[float, Field(gt=0)] = 1e-3
    """Added to every component's variance, so that what hardly varies is not blown up."""

    @model_validator(mode="after")
    def _whitening_has_an_effect(self) -> Self:
        if self.pca_dim > 0 and self.whiten != "pca":
            raise ValueError(f"pca_dim has no effect with whiten: {self.whiten}. Drop it, or set whiten: pca.")
        if self.whiten_eps != type(self).model_fields["whiten_eps"].default and self.whiten == "none":
            raise ValueError("whiten_eps has no effect with whiten: none. Drop it, or set whiten: pca or zca.")
        return self
