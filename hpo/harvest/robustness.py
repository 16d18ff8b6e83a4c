"""The best single network and the ensemble on the test split made worse, and with other shares of classes."""

from collections.abc import Sequence
from dataclasses import asdict

from hpo.config import JsonTree
from hpo.ensembles.measures import measure
from hpo.ensembles.shifts import ODDS, worst_shift
from hpo.harvest.contenders import ENSEMBLE, SINGLE_BY_METRIC, Contender
from hpo.harvest.exam import Exam
from hpo.training.corruptions import corruptions


def robustness(exam: Exam, contenders: Sequence[Contender]) -> list[JsonTree]:
    """Accuracy, NLL in nats, and ECE by contender, kind and severity; 0 is the split as it is.

    Of label shift, those of the class whose becoming more frequent costs the contender most NLL.
    """
    asked = [each for each in contenders if each.name in (SINGLE_BY_METRIC, ENSEMBLE) and each.missing is None]
    rows = [{"name": each.name, "kind": "clean", "severity": 0, "amount": None, **_seen(exam, each)} for each in asked]
    for corruption in corruptions(exam.examples.x.shape[1:]):
        worse = exam.on(corruption(exam.examples.x, exam.seed))
        how = {**asdict(corruption), "amount": corruption.amount}
        rows += [{"name": each.name, **how, **_seen(worse, each)} for each in asked]
    for severity, odds in enumerate(ODDS, start=1):
        how = {"kind": "label shift", "severity": severity, "amount": odds}
        shifted = [worst_shift(exam.predict(each), exam.examples.y, odds) for each in asked]
        rows += [{"name": each.name, **how, **asdict(found)} for each, found in zip(asked, shifted, strict=True)]
    return rows


def _seen(exam: Exam, contender: Contender) -> JsonTree:
    found = measure(exam.predict(contender), exam.examples.y)
    return {"accuracy": found.accuracy, "nll": found.nll, "ece": found.ece}
