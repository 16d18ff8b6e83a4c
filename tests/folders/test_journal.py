import logging
from pathlib import Path

import pytest

from hpo.folders.journal import logged


def half_of_it() -> None:
    logging.getLogger("hpo.some").info("half of it")
    int("x")


def test_what_is_logged_stands_in_the_file_with_the_error_that_ended_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), logged(tmp_path / "driver.log"):
        half_of_it()

    lines = (tmp_path / "driver.log").read_text()
    assert "INFO half of it\n" in lines
    assert lines.endswith("ValueError: invalid literal for int() with base 10: 'x'\n")


def test_a_second_driver_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for word in ("first", "second"):
        with logged(tmp_path / "driver.log"):
            logging.getLogger("hpo").info(word)
    logging.getLogger("hpo").info("third")

    words = [line.split()[-1] for line in (tmp_path / "driver.log").read_text().splitlines()]
    assert words == ["first", "second"]
