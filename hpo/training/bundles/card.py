"""The card of a bundle: what goes in, what comes out, where the model came from, and how to tell that it is whole."""

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from hpo.config import Config, JsonTree
from hpo.errors import BundleError

CARD = "card.json"
MODEL: Final = "model.pt2"
ONNX: Final = "model.onnx"
PREDICT: Final = "predict.py"
REFERENCE: Final = "reference.npz"
FORMATS: Final = (1, 2)
"""Of one network, as it always was; of several."""

Size = Annotated[int, Field(ge=1)]
OfNetwork = tuple[Literal["log_probs"]]
OfEnsemble = tuple[Literal["log_probs"], Literal["entropy"], Literal["disagreement"]]
Outputs = OfNetwork | OfEnsemble
OF_NETWORK: Final[OfNetwork] = ("log_probs",)
OF_ENSEMBLE: Final[OfEnsemble] = ("log_probs", "entropy", "disagreement")


class ModelFile(Config):
    """The archive, as it was written."""

    file: Literal["model.pt2"] = MODEL
    num_bytes: Size
    sha256: str


class OtherFile(Config):
    """What lies beside the archive: the same model for ONNX Runtime, and with it what predicts, and a test of both."""

    file: Literal["model.onnx", "predict.py", "reference.npz"]
    num_bytes: Size
    sha256: str


class Input(Config):
    """What the model takes."""

    shape: tuple[Size, ...]
    """Of one example; the model itself wants a batch axis before it."""
    dtype: Literal["float32"] = "float32"
    normalized: Literal[False] = False
    """Raw examples go in: the model normalises them."""


class Output(Config):
    """What the model gives."""

    num_classes: Size
    dtype: Literal["float32"] = "float32"
    meaning: Literal["log_probabilities"] = "log_probabilities"
    """Natural logarithms, [batch, num_classes]."""


class Card(BaseModel):
    """Every card has these fields; what else the exporter wanted remembered stands beside them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    format_version: Literal[1, 2]
    model: ModelFile
    files: tuple[OtherFile, ...] = ()
    input: Input
    output: Output
    outputs: Outputs = OF_NETWORK
    """What the model gives, in this order; all but `log_probs` is [batch], in nats."""
    versions: dict[str, str]
    """Of the libraries that wrote the bundle."""


def write_card(
    folder: Path, *, input_shape: tuple[int, ...], num_classes: int, outputs: Outputs, origin: Mapping[str, JsonValue]
) -> None:
    """Describe the model in `folder`, the files beside it, and what it came from.

    Raises:
        BundleError: if `origin` holds NaN or infinity, which JSON has no words for.
    """
    taken = sorted(Card.model_fields.keys() & origin.keys())
    assert not taken, f"the format itself writes {taken}"
    others = [name for name in (ONNX, PREDICT, REFERENCE) if (folder / name).exists()]
    libraries = ("hpo", "numpy", "torch", *(("onnx", "onnxruntime") if ONNX in others else ()))
    card = Card(
        format_version=1 if outputs == OF_NETWORK else 2,
        model=ModelFile.model_validate(_described(folder / MODEL)),
        files=tuple(OtherFile.model_validate(_described(folder / name)) for name in others),
        input=Input(shape=input_shape),
        output=Output(num_classes=num_classes),
        outputs=outputs,
        versions={name: metadata.version(name) for name in libraries},
    )
    try:
        text = json.dumps(card.model_dump(mode="json") | dict(origin), indent=2, allow_nan=False)
    except ValueError as error:
        raise BundleError(f"a card must hold finite numbers, but: {error}.") from error
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def portable_tree(config: Config) -> JsonTree:
    """`config` as JSON that says nothing of the machine: of a path, its last name alone."""
    tree = config.as_tree()
    for name, value in config:
        match value:
            case Path():
                tree[name] = value.name
            case Config():
                tree[name] = portable_tree(value)
    return tree


def read_card(folder: Path) -> Card:
    """The card in `folder`, once the model beside it is known to be the one described.

    Raises:
        BundleError: if the folder is missing, no bundle, damaged, or of a newer format.
    """
    path = folder / CARD
    if not folder.exists():
        raise BundleError(f"{folder}: no such folder. `hpo export` writes one.")
    if not path.is_file():
        raise BundleError(f"{folder}: must be a bundle, a folder with {CARD} and {MODEL}, but has no {CARD}.")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        version = tree["format_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: must be a bundle's card with a `format_version`, but: {error!r}.") from error
    if version not in FORMATS:
        raise BundleError(f"{path}: formats 1 and 2 can be read, but this is format {version!r}. Update hpo.")
    try:
        card = Card.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise BundleError(
            f"{path}: every field of the format must be there, but {wrong} is missing or wrong."
        ) from error
    _check_intact(folder / MODEL, card.model)
    for other in card.files:
        _check_intact(folder / other.file, other)
    return card


def _check_intact(model: Path, expected: ModelFile | OtherFile) -> None:
    remedy = "Copy the bundle again, or export the trial again."
    if not model.is_file():
        raise BundleError(f"{model}: no such file. {remedy}")
    num_bytes = model.stat().st_size
    if num_bytes != expected.num_bytes:
        raise BundleError(f"{model}: must have {expected.num_bytes} bytes, but has {num_bytes}. {remedy}")
    if _sha256(model) != expected.sha256:
        raise BundleError(f"{model}: must have the sha256 that {CARD} gives, but its content has changed. {remedy}")


def _described(path: Path) -> dict[str, str | int]:
    return {"file": path.name, "num_bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
