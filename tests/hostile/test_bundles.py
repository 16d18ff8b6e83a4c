"""Bundles that were made to harm: torch never sees what could run, and each is refused in clear words."""

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.hostile.conftest import Sandbox

Entries = dict[str, bytes]
Tree = dict[str, Any]
PROGRAM = "model/models/model.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
CONSTANTS = "model/data/constants/model_constants_config.json"


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def pickled(canary: Path) -> bytes:
    """As `torch.save` would write it."""
    buffer = io.BytesIO()
    torch.save(Payload(canary), buffer)
    return buffer.getvalue()


def code(canary: Path) -> str:
    """An expression that makes a file."""
    return f"__import__('pathlib').Path('{canary}').touch()"


def repack(bundle: Path, change: Callable[[Entries], object], packing: int = zipfile.ZIP_STORED) -> None:
    """Change the entries of the archive, and sign it."""
    with zipfile.ZipFile(bundle / "model.pt2") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(bundle / "model.pt2", "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    sign(bundle)


def sign(bundle: Path) -> None:
    content = (bundle / "model.pt2").read_bytes()
    about = {"file": "model.pt2", "num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite_card(bundle, model=about)


def rewrite_card(bundle: Path, **fields: object) -> None:
    card = bundle / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | fields))


def edit(entries: Entries, change: Callable[[Tree], object], name: str = PROGRAM) -> None:
    tree = json.loads(entries[name])
    change(tree)
    entries[name] = json.dumps(tree).encode()


def put_first(tree: Any, key: str, value: object) -> bool:
    """Put `value` in the place of the first that stands under `key`."""
    if isinstance(tree, dict) and key in tree:
        tree[key] = value
        return True
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return any(put_first(child, key, value) for child in children)


def call_a_weight_a_pickle(entries: Entries, canary: Path) -> None:
    entries["model/data/weights/weight_0"] = pickled(canary)
    edit(entries, lambda tree: put_first(tree, "use_pickle", True), WEIGHTS)


def name_a_constant(entries: Entries, prefix: str, content: bytes) -> None:
    edit(entries, lambda tree: put_first(tree, "path_name", f"{prefix}_0"), CONSTANTS)
    entries[f"model/data/constants/{prefix}_0"] = content


ARCHIVES: dict[str, Callable[[Entries, Path], object]] = {
    "example_inputs_that_are_a_pickle": lambda entries, canary: entries.update(
        {"model/data/sample_inputs/model.pt": pickled(canary)}
    ),
    "a_weight_that_is_a_pickle": call_a_weight_a_pickle,
    "weights_of_the_old_format": lambda entries, canary: entries.update(
        {"model/data/weights/model.pt": pickled(canary)}
    ),
    "constants_of_the_old_format": lambda entries, canary: entries.update(
        {"model/data/constants/model.pt": pickled(canary)}
    ),
    "an_opaque_object": lambda entries, canary: name_a_constant(entries, "opaque_obj", pickle.dumps(Payload(canary))),
    "an_object_of_torchscript": lambda entries, canary: name_a_constant(entries, "custom_obj", pickled(canary)),
    "a_compiled_library": lambda entries, _: entries.update({"model/data/aotinductor/model/evil.so": b"\x7fELF"}),
    "an_archive_of_the_old_format": lambda entries, canary: entries.update(
        {"version": b"2.7", "serialized_state_dict.pt": pickled(canary)}
    ),
    "an_entry_that_climbs_out": lambda entries, canary: entries.update({f"../../../../{canary.name}": b"x"}),
    "an_absolute_entry": lambda entries, canary: entries.update({str(canary): b"x"}),
    "an_entry_of_another_kind": lambda entries, _: entries.update({"model/data/evil.py": b"import os"}),
}
PROGRAMS: dict[str, Callable[[Tree, str], object]] = {
    "an_expression_that_calls": lambda tree, code: put_first(tree, "expr_str", code),
    "an_expression_with_attributes": lambda tree, _: put_first(tree, "expr_str", "Integer(1).__class__"),
    "a_guard_that_calls": lambda tree, code: tree.update(guards_code=[code]),
    "a_node_whose_name_is_code": lambda tree, code: tree["graph_module"]["graph"]["nodes"][0].update(
        name=f"x = {code}"
    ),
    "an_input_whose_name_is_code": lambda tree, code: put_first(
        tree["graph_module"]["graph"]["inputs"], "name", f"x={code}"
    ),
    "an_argument_whose_name_is_code": lambda tree, code: put_first(tree, "forward_arg_names", [f"x={code}"]),
    "a_key_that_is_code": lambda tree, code: tree["graph_module"]["graph"]["tensor_values"].update({code: {}}),
    "an_operator_that_opens_files": lambda tree, _: put_first(tree, "target", "torch.ops.aten.from_file.default"),
    "an_operator_that_writes_files": lambda tree, _: put_first(tree, "target", "torch.ops.aten.save.default"),
    "a_function_of_torch": lambda tree, _: put_first(tree, "target", "torch.load"),
    "a_function_of_os": lambda tree, _: put_first(tree, "target", "os.system"),
    "an_operator_that_is_python": lambda tree, _: put_first(tree, "target", "torch.ops.higher_order.print"),
    "an_extension": lambda tree, _: put_first(tree, "target", "#evil:system"),
    "an_enum_of_a_module_to_import": lambda tree, _: put_first(
        tree,
        "in_spec",
        json.dumps([1, {"type": "builtins.dict", "context": '{"__enum__": 1, "fqn": "antigravity:x"}'}]),
    ),
    "a_spec_that_is_no_json": lambda tree, _: put_first(tree, "out_spec", "import os"),
    "text_that_is_code": lambda tree, code: put_first(tree, "torch_version", code),
}
CARDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a_model_elsewhere": (lambda bundle: rewrite_card(bundle, model={"file": "../../../etc/passwd"}), "model.file"),
    "an_absolute_model": (lambda bundle: rewrite_card(bundle, model={"file": "/etc/passwd"}), "model.file"),
    "another_file_elsewhere": (
        lambda bundle: rewrite_card(bundle, files=[{"file": "../../passwd", "num_bytes": 1, "sha256": "x"}]),
        "files.0.file",
    ),
    "a_file_that_is_not_there": (
        lambda bundle: rewrite_card(bundle, files=[{"file": "predict.py", "num_bytes": 1, "sha256": "x"}]),
        "predict.py: no such file",
    ),
    "outputs_that_are_not_given": (
        lambda bundle: rewrite_card(bundle, outputs=["log_probs", "entropy", "disagreement"]),
        "give log_probs, entropy, disagreement, but gives 1 arrays",
    ),
    "outputs_of_other_names": (lambda bundle: rewrite_card(bundle, outputs=["__class__"]), "outputs"),
    "a_hash_of_something_else": (lambda bundle: (bundle / "model.pt2").write_bytes(b"x"), "bytes"),
    "a_format_of_the_future": (lambda bundle: rewrite_card(bundle, format_version=99), "format 99"),
    "a_format_that_is_text": (lambda bundle: rewrite_card(bundle, format_version="1; import os"), "format"),
    "a_format_of_nested_lists": (lambda bundle: rewrite_card(bundle, format_version=[[]]), "format"),
    "no_classes": (lambda bundle: rewrite_card(bundle, output={"num_classes": "ten"}), "output.num_classes"),
    "a_billion_classes": (lambda bundle: rewrite_card(bundle, output={"num_classes": 10**9}), "give log-probabilities"),
    "minus_one_classes": (lambda bundle: rewrite_card(bundle, output={"num_classes": -1}), "output.num_classes"),
    "inputs_of_another_shape": (lambda bundle: rewrite_card(bundle, input={"shape": [3, 5]}), "as in training"),
    "inputs_of_a_shape_that_is_huge": (
        lambda bundle: rewrite_card(bundle, input={"shape": [10**12]}),
        "as in training",
    ),
    "a_shape_of_text": (lambda bundle: rewrite_card(bundle, input={"shape": ["64"]}), "input.shape"),
    "other_inputs": (lambda bundle: rewrite_card(bundle, input={"shape": [64], "dtype": "object"}), "input.dtype"),
    "deep_nesting": (lambda bundle: (bundle / "card.json").write_text("[" * 100_000), "RecursionError"),
    "invalid_utf_8": (lambda bundle: (bundle / "card.json").write_bytes(b'{"a": "\xff"}'), "card.json"),
    "nul_bytes": (lambda bundle: (bundle / "card.json").write_bytes(bytes(100)), "card.json"),
    "nothing": (lambda bundle: (bundle / "card.json").write_bytes(b""), "card.json"),
    "a_list": (lambda bundle: (bundle / "card.json").write_text("[1]"), "card.json"),
    "yaml": (lambda bundle: (bundle / "card.json").write_text("!!python/object/apply:os.system [ls]"), "card.json"),
    "a_number_beyond_all": (lambda bundle: (bundle / "card.json").write_text("9" * 10_000), "card.json"),
}


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def put_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


PLACES: dict[str, Callable[[Path], object]] = {
    "a_folder": put_folder,
    "a_link_to_itself": put_loop,
    "a_pipe": put_fifo,
    "nothing": Path.unlink,
}


@pytest.fixture
def bundle(sandbox: Sandbox) -> Path:
    return sandbox.sweep / "best"


@pytest.fixture
def predict(bundle: Path) -> str:
    return f"predict {bundle} examples.npz"


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_refused(name: str, sandbox: Sandbox, bundle: Path, predict: str) -> None:
    repack(bundle, lambda entries: ARCHIVES[name](entries, sandbox.canary))

    sandbox.check_refuses(predict, "model.pt2: must hold nothing but numbers and words")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_refused(name: str, sandbox: Sandbox, bundle: Path, predict: str) -> None:
    repack(bundle, lambda entries: edit(entries, lambda tree: PROGRAMS[name](tree, code(sandbox.canary))))

    sandbox.check_refuses(predict, "model.pt2: must hold nothing but numbers and words")


@pytest.mark.parametrize("name", ["a_weight_that_is_a_pickle", "example_inputs_that_are_a_pickle"])
def test_torch_itself_would_run_an_archive(name: str, sandbox: Sandbox, bundle: Path) -> None:
    repack(bundle, lambda entries: ARCHIVES[name](entries, sandbox.canary))

    with suppress(Exception):
        torch.export.load(bundle / "model.pt2")

    assert sandbox.canary.exists()


def test_torch_itself_would_run_an_expression(sandbox: Sandbox, bundle: Path) -> None:
    change = PROGRAMS["an_expression_that_calls"]
    repack(bundle, lambda entries: edit(entries, lambda tree: change(tree, code(sandbox.canary))))

    with suppress(Exception):
        torch.export.load(bundle / "model.pt2")

    assert sandbox.canary.exists()


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_refused(name: str, sandbox: Sandbox, bundle: Path, predict: str) -> None:
    spoil, said = CARDS[name]
    spoil(bundle)

    sandbox.check_refuses(predict, said)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("file", ["card.json", "model.pt2"])
def test_a_file_of_a_bundle_must_be_a_file(name: str, file: str, sandbox: Sandbox, bundle: Path, predict: str) -> None:
    PLACES[name](bundle / file)

    sandbox.check_refuses(predict, file)


def test_a_packed_archive_is_not_unpacked(sandbox: Sandbox, bundle: Path, predict: str) -> None:
    def bomb(entries: Entries) -> None:
        entries["model/data/weights/weight_0"] = bytes(50_000_000)

    repack(bundle, bomb, zipfile.ZIP_DEFLATED)

    assert (bundle / "model.pt2").stat().st_size < 100_000
    sandbox.check_refuses(predict, "model.pt2: must hold its entries as they are, but has packed ones")


def test_an_archive_with_two_entries_of_a_name_is_refused(sandbox: Sandbox, bundle: Path, predict: str) -> None:
    with zipfile.ZipFile(bundle / "model.pt2", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(PROGRAM, archive.read(PROGRAM))
    sign(bundle)

    sandbox.check_refuses(predict, "model.pt2: must hold every entry once")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04", bytes(1000), b"cos\nsystem\n(S'ls'\ntR."], ids=["torn", "nul_bytes", "a_pickle"]
)
def test_what_is_no_archive_is_refused(content: bytes, sandbox: Sandbox, bundle: Path, predict: str) -> None:
    (bundle / "model.pt2").write_bytes(content)
    sign(bundle)

    sandbox.check_refuses(predict, "model.pt2: must be readable by torch.export")


def test_weights_of_another_size_are_refused(sandbox: Sandbox, bundle: Path, predict: str) -> None:
    repack(bundle, lambda entries: entries.update({"model/data/weights/weight_0": bytes(8)}))

    sandbox.check_refuses(predict, "model.pt2: must be readable by torch.export")


def test_weights_that_are_nan_predict_nothing(sandbox: Sandbox, bundle: Path, predict: str) -> None:
    def spoil(entries: Entries) -> None:
        size = len(entries["model/data/weights/weight_0"]) // 4
        entries["model/data/weights/weight_0"] = np.full(size, np.nan, np.float32).tobytes()

    repack(bundle, spoil)

    sandbox.check_refuses(predict, "NaN")


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("initializer: {{kind: pretrained, bundle: {bundle}}}", "model"),
        ("loss: {{kind: distillation, teacher: {bundle}}}", "loss.teacher"),
    ],
)
def test_a_sweep_reads_no_bundle_that_would_run(section: str, key: str, sandbox: Sandbox, bundle: Path) -> None:
    repack(bundle, lambda entries: ARCHIVES["a_weight_that_is_a_pickle"](entries, sandbox.canary))
    with (sandbox.here / "small.yaml").open("a") as file:
        file.write(section.format(bundle=bundle))

    sandbox.check_refuses("run small.yaml", key, "model.pt2: must hold nothing but numbers and words")


def test_a_bundle_is_written_over_nothing_else(sandbox: Sandbox) -> None:
    shutil.copytree(sandbox.sweep / "best", sandbox.here / "thesis")
    (sandbox.here / "thesis" / "card.json").unlink()

    sandbox.check_refuses(f"export {sandbox.sweep_id} thesis", "thesis: must be new, empty or a bundle")
