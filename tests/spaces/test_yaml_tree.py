import math

import pytest

from hpo.spaces.yaml_tree import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E4", 1e4),
        ("-.5", -0.5),
        ("012", 12),
        ("0o17", 15),
        ("0xff", 255),
        ("-.inf", -math.inf),
        ("true", True),
        ("~", None),
        ("on", "on"),
        ("no", "no"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("'1'", "1"),
        ('"null"', "null"),
        ("", None),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    tree = read_yaml(f"key: {text}")

    assert tree.value == {"key": value}
    assert tree.problems == ()


def test_keys_are_text_with_the_line_they_stand_on() -> None:
    tree = read_yaml("# a comment\non:\n  1: [a,\n    b]\n")

    assert tree.value == {"on": {"1": ["a", "b"]}}
    assert tree.lines == {"on": 2, "on.1": 3, "on.1.0": 3, "on.1.1": 4}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: [1, 2", 2, "must be YAML, but: while parsing a flow sequence expected ',' or ']'"),
        ("a: 1\n\tb: 2", 2, "must be YAML, but: while scanning for the next token found character '\\t'"),
        ("a: 1\na: 2", 2, "a key must appear once, but line 1 has it too. Delete one of them."),
        ("a: &x 1\nb: *x", 2, "YAML aliases are not allowed, but got *x. Write it out."),
        (
            "a: !!python/name:os.system 1",
            1,
            "YAML tags are not allowed, but got tag:yaml.org,2002:python/name:os.system.",
        ),
        ("[a]: 1", 1, "a key must be text, but got a list or a mapping."),
        ("a: 1\n---\nb: 2", 2, "a file must hold one YAML document, but another begins here. Split the file."),
        ("a: \0", None, "must be YAML, but: "),
    ],
)
def test_what_is_no_plain_tree_is_refused_with_its_line(text: str, line: int | None, message: str) -> None:
    problems = read_yaml(text).problems

    assert [problem.line for problem in problems] == [line]
    assert problems[0].message.startswith(message)


def test_nothing_is_read_from_an_empty_text() -> None:
    tree = read_yaml("# only a comment\n")

    assert tree.value is None
    assert tree.problems == ()
