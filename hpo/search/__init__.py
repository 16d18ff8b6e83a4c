"""Proposes trials and remembers them."""

from hpo.search.samplers import Sampler
from hpo.search.study import Study

__all__ = ["Sampler", "Study"]
