"""What was found, in sentences."""

from hpo.results.analysis.boundary import Crowd
from hpo.spaces.values import shown


def crowd_text(crowd: Crowd) -> str:
    """What was seen at an end of a range, and what to do."""
    seen = (
        f"{crowd.path}: {crowd.num_near} of the best {crowd.num_top} trials lie at the {crowd.end} end of its range "
        f"(by chance with p = {crowd.chance:.1g})"
    )
    if crowd.is_unstable:
        return (
            f"{seen}, where many diverge: it is the edge of what trains. Warm up longer or clip gradients, and do not "
            "widen the range."
        )
    if crowd.proposed is None:
        return f"{seen}. Widen the range there, if more makes sense."
    return f"{seen}. Widen it there, to {shown(crowd.proposed)} for one."
