"""What a driver says, in a file of the sweep's, for whoever looks later or from elsewhere."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Whatever hpo logs in the block is appended to the file, with its time; warnings are still shown as before."""
    logger = logging.getLogger("hpo")
    file = logging.FileHandler(path, encoding="utf-8")
    file.setLevel(logging.INFO)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    shown = (
        None if logger.hasHandlers() else logging.lastResort
    )  # Python shows warnings itself only where nobody listens
    handlers = [handler for handler in (file, shown) if handler is not None]
    level = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    except Exception:
        logger.info("The sweep is interrupted by an error.", exc_info=True)
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(level)
        file.close()
