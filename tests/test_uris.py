"""Passwords never stand where people look."""

import pytest

from hpo.errors import UriError
from hpo.uris import filled_in, holds_password, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://hpo:s3cr%40t@db:5432/study", "postgresql://hpo:***@db:5432/study"),
        (
            "no route to https://me:token@mlflow.example/api?x=1 (or back)",
            "no route to https://me:***@mlflow.example/api?x=1 (or back)",
        ),
        (
            "postgresql://db/study?user=me&password=s3cret&sslmode=require",
            "postgresql://db/study?user=me&password=***&sslmode=require",
        ),
        ("https://:token@host", "https://:***@host"),
        ("http://localhost:5000/a@b", "http://localhost:5000/a@b"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
    ],
)
def test_a_password_is_masked_and_nothing_else_is(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_what_a_variable_stands_for_is_no_password_in_the_address() -> None:
    assert holds_password("postgresql://me:secret@db/x")
    assert holds_password("postgresql://me:${A}b@db/x")
    assert not holds_password("postgresql://me:${SECRET}@db/x")
    assert not holds_password("https://me@host")


def test_variables_are_filled_in_as_parts_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "p@ss/word")
    monkeypatch.setenv("STORE", "postgresql://me:x@db/y")

    assert filled_in("postgresql://me:${DB_PASSWORD}@db/x") == "postgresql://me:p%40ss%2Fword@db/x"
    assert filled_in("${STORE}") == "postgresql://me:x@db/y"


def test_a_variable_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DB_PASSWORD", raising=False)

    with pytest.raises(UriError, match=r"\$\{DB_PASSWORD\}@db/x: the environment must set DB_PASSWORD, but does"):
        filled_in("postgresql://me:${DB_PASSWORD}@db/x")
