from pathlib import Path

import pytest
from typer.testing import CliRunner

from hpo.cli import app
from hpo.sweep.reference import reference, sections

WRITTEN = Path(__file__).parents[2] / "docs/methods.md"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return reference().splitlines()


def test_the_reference_in_the_repository_is_what_the_code_says() -> None:
    assert WRITTEN.read_text(encoding="utf-8") == reference(), "Run: hpo docs --out docs/methods.md"


@pytest.mark.parametrize(
    "line",
    [
        "| `grad_clip` | number >= 0 | `0` | yes, unless 0 | Largest norm of a trial's whole gradient (Pascanu et al. ",
        "| `lr_factor.bias` | number > 0 | `1` | yes, unless 1 | Of biases, a norm's shifts among them ",
        "| `optimizer.momentum` | number >= 0, < 1 | `0.9` | yes | Share of the last update kept. |",
        "| `schedule.gamma` | number > 0, <= 1 | `0.1` | outside | Factor of each drop. |",
        "| `model.hidden` | list of: whole number >= 1 | `[256, 256]` | no | Width of each hidden layer. |",
        "| `resources.lanes` | whole number >= 1 or auto | `auto` | Trials that train side by side as one program; ",
        "| `data.test_folder` | path or none | `none` | A folder like it, with the same classes: the test split. |",
        "| `metric.goal` | maximize or minimize | `required` | Which way is better. |",
        "What turns gradients into steps. Default: `sgd`.",
        "### `optimizer.adamw`",
        "Adam with decoupled weight decay, as `torch.optim.AdamW` (Loshchilov & Hutter 2019).",
    ],
)
def test_an_option_stands_there_with_its_range_default_and_meaning(line: str, lines: list[str]) -> None:
    assert [found for found in lines if found.startswith(line)]


def test_what_all_kinds_share_stands_there_once(lines: list[str]) -> None:
    assert len([line for line in lines if line.startswith("| `initializer.output_bias` |")]) == 1
    assert len([line for line in lines if line.startswith("| `data.fraction` |")]) == 1
    assert len([line for line in lines if line.startswith("| `data.folder` |")]) == 3


def test_every_option_says_what_it_is() -> None:
    options = [option for section in sections() for option in section.options]

    assert [option.path for option in options if not option.meaning.endswith(".")] == []


def test_the_command_prints_the_reference_or_writes_it(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["docs"])
    written = CliRunner().invoke(app, ["docs", "--out", str(tmp_path / "methods.md")])

    assert (printed.exit_code, written.exit_code) == (0, 0)
    assert printed.output == (tmp_path / "methods.md").read_text(encoding="utf-8") == reference()
