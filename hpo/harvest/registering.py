"""From a bundle to a version in MLflow's registry."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import HpoError
from hpo.export.onnx import SCRIPT
from hpo.paths import SweepPaths
from hpo.sweep import Sweep
from hpo.tracking.environment import quieten
from hpo.tracking.location import absolute
from hpo.uris import filled_in, masked

if TYPE_CHECKING:
    from hpo.tracking.registry import Registered

logger = logging.getLogger(__name__)


def register_bundle(bundle: Path, name: str, alias: str | None, uri: str) -> "Registered":
    """Make the bundle a version of the model `name` in MLflow at `uri`; see `hpo.tracking.registry.register`."""
    quieten()
    from hpo.tracking.registry import register  # noqa: PLC0415 - MLflow takes a second to import

    return register(bundle, name, alias, uri=absolute(filled_in(uri)), script=SCRIPT)


def register_exported(sweep: Sweep, paths: SweepPaths, bundle: Path, alias: str) -> None:
    """Register what a sweep has exported, if it asks for that. A registry that is away takes no result back."""
    name = sweep.export.register_as
    if name is None or sweep.tracking is None:
        return
    try:
        logger.info("Registered %s.", register_bundle(bundle, name, alias, sweep.tracking.uri))
    except HpoError as error:
        remedy = f"When MLflow is back: hpo register {bundle} {name}@{alias} --uri {masked(sweep.tracking.uri)}"
        logger.warning("%s of %s is not registered: %s %s", alias, paths.sweep_id, error, remedy)
