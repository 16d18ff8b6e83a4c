"""Numbers, as a page shows them."""

from hpo.spaces.values import shown


def short(value: object) -> str:
    """A float to three digits or, where it is small, two; anything else as a sweep file writes it."""
    match value:
        case float() if value == 0 or 0.01 <= abs(value) < 10_000:
            return f"{value:.3g}"
        case float():
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa}e{int(exponent)}"
        case _:
            return shown(value)


def objective(value: float) -> str:
    """A value of a metric."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def counted(num: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{num} {noun}{'' if num == 1 else 's'}"
