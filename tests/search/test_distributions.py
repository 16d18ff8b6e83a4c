import pytest
from optuna.distributions import FloatDistribution

from hpo.records import ParamValue
from hpo.search.distributions import coordinates, decode, distribution_of, encode
from hpo.spaces import Choice, Domain, LogUniform, QUniform, RandInt, Uniform


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Uniform(min=0.0, max=1.0), 0.3),
        (LogUniform(min=1e-4, max=1.0), 1e-4),
        (QUniform(min=0.0, max=0.6, q=0.05), 0.15),
        (RandInt(min=1, max=5), 5),
        (Choice(values=("relu", "gelu")), "gelu"),
        (Choice(values=((32,), (128, 64))), (128, 64)),
        (Choice(values=(1, True)), True),
        (Choice(values=("true", True)), True),
        (Choice(values=("[1]", (1,))), (1,)),
    ],
)
def test_a_value_comes_back_from_optuna_as_it_was_given(domain: Domain, value: ParamValue) -> None:
    distribution = distribution_of(domain)

    kept = distribution.to_external_repr(distribution.to_internal_repr(encode(domain, value)))

    assert decode(domain, kept) == value
    assert type(decode(domain, kept)) is type(value)


def test_a_quantised_value_has_no_rounding_error() -> None:
    domain = QUniform(min=0.0, max=0.6, q=0.05)

    assert decode(domain, 3 * 0.05) == 0.15
    assert 3 * 0.05 != 0.15


def test_the_last_point_of_a_grid_is_kept_when_the_step_does_not_divide_the_range_exactly() -> None:
    distribution = distribution_of(QUniform(min=0.0, max=1.0, q=0.33333333333333))

    assert isinstance(distribution, FloatDistribution)
    assert distribution.high == pytest.approx(1.0)


def test_a_quantised_value_never_passes_its_greatest() -> None:
    domain = QUniform(min=0.0, max=1.0, q=0.33333333333334)

    assert decode(domain, distribution_of(domain).to_external_repr(1.0)) == 1.0


def test_coordinates_scale_numbers_as_they_are_drawn_and_spread_choices() -> None:
    space: dict[str, Domain] = {
        "a.lr": LogUniform(min=1e-4, max=1.0),
        "b.depth": RandInt(min=1, max=5),
        "c.kind": Choice(values=("x", "y")),
    }
    distributions = {path: distribution_of(domain) for path, domain in space.items()}

    point = coordinates({"a.lr": 1e-2, "b.depth": 5, "c.kind": "y"}, distributions)

    assert point == pytest.approx([0.0, 1.0, 0.0, 1.0])
