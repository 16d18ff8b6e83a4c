"""The table of methods against the code: every option has a row, and every row a test that is there."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hpo.sweep.reference import Option, Section, sections, trains_alone
from hpo.training.fused import can_fuse
from hpo.training.models import Cnn, Mlp, Resnet, Resnet9
from hpo.training.recipe import Recipe

TESTS = Path(__file__).parents[1]
TABLE: dict[str, dict[str, str]] = YAML(typ="safe").load(Path(__file__).with_name("methods.yaml"))
NUMBERS = [str(number) for number in (*range(1, 102), *range(104, 108)) if number != 89]
NUMBERS += [f"88{part}" for part in "abcdefg"] + [f"89{part}" for part in "abcde"]
NO_OPTION = ("always", "a command", "left out")

SECTIONS = {section.name: section for section in sections()}
OPTIONS = [option for section in SECTIONS.values() for option in section.options]
WANTED = (*Recipe.model_fields, "data")
"""Sections of which every option must have a row; those of others may have one."""


def cells() -> list[tuple[str, str, list[str]]]:
    """(row, option, words) of all rows: how an option trains, and the tests that pin it."""
    return [(row, option, text.split()) for row, options in TABLE.items() for option, text in options.items()]


def pins() -> Iterator[tuple[str, str]]:
    """(row, test) of all rows."""
    for row, option, words in cells():
        if option != "left out":
            yield from ((row, word) for word in (words if option in NO_OPTION else words[1:]))


def spelt_out(option: Option) -> set[str]:
    """The words of an option, by the names under which the table may hold them."""
    return {f"{option.path}={word}" for word in option.choices}


def is_held(option: Option, named: set[str]) -> bool:
    """Whether the table holds an option as a whole, or all of its words that ask for something."""
    words = spelt_out(option) - {f"{option.path}=none"}
    return option.path in named or (bool(words) and words <= named)


def trains(name: str) -> str:
    """How the code trains what the table names."""
    path, _, word = name.partition("=")
    section, _, key = path.partition(".")
    if section not in Recipe.model_fields:
        return "outside"
    if key == "kind":
        return _trains_kind(SECTIONS[section], word)
    of_kinds = {option.per_lane for option in OPTIONS if option.path == path and (not word or word in option.choices)}
    assert of_kinds, f"{name} is no option"
    if of_kinds == {"alone"}:
        return "solo"
    return "outside" if of_kinds == {"outside"} else "fused"


def _trains_kind(section: Section, kind: str) -> str:
    config = section.kinds[kind]
    if config in (Mlp, Cnn, Resnet, Resnet9):
        return "fused" if can_fuse(config().build((3, 16, 16), 10)) else "solo"
    if trains_alone(config):
        return "solo"
    return "outside" if all(option.per_lane == "outside" for option in section.options) else "fused"


def test_every_method_has_a_row() -> None:
    assert Counter(row.split()[0] for row in TABLE) == Counter(NUMBERS)


def test_every_option_of_a_recipe_and_of_data_has_a_row() -> None:
    named = {option for _, option, _ in cells()}
    kinds = {f"{name}.kind={kind}" for name in WANTED if name in SECTIONS for kind in SECTIONS[name].kinds if kind}
    wanted = [option for option in OPTIONS if option.path.partition(".")[0] in WANTED]

    missing = {option.path for option in wanted if not is_held(option, named)}

    assert missing | kinds - named == set()


def test_no_row_names_an_option_that_is_not_there() -> None:
    known = {option.path for option in OPTIONS}.union(*map(spelt_out, OPTIONS))
    known |= {f"{name}.kind={kind}" for name, section in SECTIONS.items() for kind in section.kinds}

    assert {option for _, option, _ in cells()} - known == set(NO_OPTION)


def test_no_option_stands_in_two_rows() -> None:
    rows = Counter(option for _, option, _ in cells() if option not in NO_OPTION)

    assert [option for option, num in rows.items() if num > 1] == []


@pytest.mark.parametrize("row", [row for row, options in TABLE.items() if not set(options) & set(NO_OPTION)])
def test_a_row_says_how_its_options_train(row: str) -> None:
    said = {option: text.split()[0] for option, text in TABLE[row].items()}

    assert said == {option: trains(option) for option in said}


def test_every_row_has_tests_that_are_there() -> None:
    files = {test.partition("::")[0] for _, test in pins()}
    found = {
        f"{file}::{node.name}"
        for file in files
        if (TESTS / file).is_file()
        for node in ast.parse((TESTS / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }

    assert [f"{row}: {test}" for row, test in pins() if test not in found] == []
    assert [row for row, option, words in cells() if len(words) < 2 and option not in NO_OPTION] == []
