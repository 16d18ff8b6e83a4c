"""The page: one file, to be read without a network, and to be printed."""

from hpo.results.report import tables
from hpo.results.report.markup import Markup, element
from hpo.results.report.sections import sections
from hpo.results.report.subject import Subject

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #222; background: #fff;
  max-width: 52rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
.state, .note, figcaption { color: #555; font-size: .85rem; }
.state { margin: .2rem 0 1.4rem; }
.result { font-size: 1.05rem; }
figure { margin: .6rem 0; }
figure svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif !important; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .6rem .15rem 0; text-align: right; font-weight: normal; vertical-align: top; }
th[scope=row] { text-align: left; color: #555; }
thead th { border-bottom: 1px solid #999; color: #555; }
thead th:first-child { text-align: left; }
.facts td { text-align: left; }
.facts th { white-space: nowrap; }
.leaders { font-size: .74rem; }
.leaders th, .leaders td { padding-right: .45rem; }
.leaders tbody tr:first-child td { font-weight: 600; }
ul { padding-left: 1.2rem; font-size: .9rem; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  section { break-inside: avoid; }
  .wide { overflow: visible; }
  .leaders { font-size: .65rem; }
}
"""


def page(subject: Subject) -> str:
    """All that there is to say of a sweep, as HTML that needs nothing else."""
    ended = "" if subject.ended is None else f" ({subject.ended})"
    state = f"{subject.state.capitalize()}{ended}; written {subject.written}."
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{subject.sweep_id}: report"),
        element("style", Markup(STYLE)),
    )
    body = element(
        "body",
        element("h1", subject.sweep_id),
        element("p", state, class_="state"),
        tables.result(subject),
        element("section", element("h2", "What was spent"), tables.spent(subject)),
        element("section", element("h2", "The best ten"), tables.leaders(subject)),
        *sections(subject),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"
