"""One page on a sweep, with plots, that stands alone. Imports matplotlib: only those come here who ask for it."""

from hpo.results.report.page import page
from hpo.results.report.subject import Subject, ToldEnsemble

__all__ = ["Subject", "ToldEnsemble", "page"]
