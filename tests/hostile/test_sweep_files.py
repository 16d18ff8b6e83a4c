"""Sweep files that were made to harm: nothing of them runs, and each is refused in clear words."""

from pathlib import Path

import pytest

from tests.hostile.conftest import Sandbox, sweep_file

LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9 if n else ['lol'] * 9)}]\n" for n in range(9))

TEXTS = {
    "a_python_object": "model: !!python/object/apply:os.system ['touch CANARY']\n",
    "a_python_name": "model: !!python/name:os.system\n",
    "a_python_module": "model: !!python/module:os\n",
    "a_new_python_object": "model: !!python/object/new:subprocess.Popen [['touch', 'CANARY']]\n",
    "a_local_tag": "model: !os.system 'touch CANARY'\n",
    "a_billion_laughs": LAUGHS,
    "an_anchor_of_itself": "space: &s {a: *s}\n",
    "a_merge_key": "base: &b {kind: mlp}\nmodel: {<<: *b}\n",
    "duplicate_keys": sweep_file() + "epochs: 3\n",
    "two_documents": sweep_file() + "---\nname: other\n",
    "deep_nesting_of_lists": "model: " + "[" * 3000 + "]" * 3000 + "\n",
    "deep_nesting_of_mappings": "model: " + "{a: " * 3000 + "}" * 3000 + "\n",
    "deep_nesting_by_blocks": "".join(" " * n + "a:\n" for n in range(2000)),
    "a_list_as_a_key": sweep_file() + "? [1, 2]\n: 3\n",
    "nothing": "",
    "only_a_comment": "# nothing\n",
    "a_single_word": "sweep\n",
    "an_open_quote": "name: 'small\n",
    "an_open_bracket": "model: {kind: mlp\n",
    "a_tab_as_indentation": "model:\n\tkind: mlp\n",
    "a_control_character": "name: sm\x07all\n",
    "an_escape_of_a_nul": sweep_file(name='"sm\\0all"'),
    "an_unknown_directive": "%TAG ! tag:evil,2000:\n---\nname: !x small\n",
    "a_lone_surrogate": sweep_file(name='"\\ud800"'),
}
BYTES = {
    "nul_bytes": b"name: small\0\n",
    "invalid_utf_8": b"name: sm\xff\xfeall\n",
    "utf_16": sweep_file().encode("utf-16"),
    "a_picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "a_pickle": b"cos\nsystem\n(S'touch CANARY'\ntR.",
    "a_gigabyte_of_depth_in_a_kilobyte": b"- " * 4000,
}
SECTIONS = {
    "a_name_that_climbs_out": ({"name": "../../escape"}, "name"),
    "an_absolute_name": ({"name": "/etc/escape"}, "name"),
    "a_hidden_name": ({"name": ".hidden"}, "name"),
    "a_name_that_is_an_option": ({"name": "--runs"}, "name"),
    "a_name_for_a_shell": ({"name": "'$(touch CANARY)'"}, "name"),
    "a_name_with_a_semicolon": ({"name": "'small; touch CANARY'"}, "name"),
    "a_name_with_a_line_break": ({"name": '"small\\n"'}, "name"),
    "a_name_with_backticks": ({"name": "'`touch CANARY`'"}, "name"),
    "a_name_of_look_alikes": ({"name": "sm\u0430ll"}, "name"),
    "a_name_written_backwards": ({"name": '"small\\u202Egpj"'}, "name"),
    "a_name_of_full_width_dots": ({"name": "\uff0e\uff0e\uff0fx"}, "name"),
    "a_name_too_long_for_a_folder": ({"name": "a" * 300}, "name"),
    "an_empty_name": ({"name": '""'}, "name"),
    "a_name_that_is_a_number": ({"name": "7"}, "name"),
    "an_experiment_that_climbs_out": ({"tracking": "{experiment: ..}"}, "tracking.experiment"),
    "an_experiment_with_a_nul": ({"tracking": '{experiment: "a\\0b"}'}, "tracking.experiment"),
    "an_experiment_too_long_for_a_folder": ({"tracking": "{experiment: " + "a" * 300 + "}"}, "tracking.experiment"),
    "a_password_in_an_address": ({"tracking": "{uri: 'http://me:secret@host'}"}, "tracking.uri"),
    "a_function_of_os": ({"model": "os:system"}, "model"),
    "a_function_of_subprocess": ({"model": "{kind: custom, factory: 'subprocess:run'}"}, "model"),
    "eval_as_a_network": ({"model": "builtins:eval"}, "model"),
    "exec_as_a_network": ({"model": "{kind: custom, factory: 'builtins:exec', arguments: {source: x}}"}, "model"),
    "a_pickle_as_a_network": ({"model": "{kind: custom, factory: 'torch:load', arguments: {f: evil.pt}}"}, "model"),
    "a_repository_as_a_network": (
        {"model": "{kind: custom, factory: 'torch.hub:load', arguments: {repo_or_dir: ., model: x, source: local}}"},
        "model",
    ),
    "a_network_that_is_no_path": ({"model": "{kind: custom, factory: '../evil.py:make'}"}, "model.factory"),
    "a_network_that_is_a_call": ({"model": "{kind: custom, factory: '__import__(\"os\"):system'}"}, "model.factory"),
    "a_network_that_is_not_there": ({"model": "no_such_module:make"}, "model"),
    "a_condition_that_calls": (
        {"space": '{optimizer.lr: {distribution: uniform, min: 0.1, max: 1, when: \'__import__("os").system("x")\'}}'},
        "space.optimizer.lr",
    ),
    "a_condition_with_attributes": (
        {"space": "{optimizer.lr: {distribution: uniform, min: 0.1, max: 1, when: '().__class__ == 1'}}"},
        "space.optimizer.lr",
    ),
    "a_constraint_that_calls": ({"constraints": "['exec(\"x\") < 1']"}, "constraints.0"),
    "a_constraint_that_grows": ({"constraints": "['9**9**9**9**9 < optimizer.lr']"}, "constraints"),
    "a_constraint_of_a_thousand_brackets": ({"constraints": f"['{'(' * 3000}1{')' * 3000} < 2']"}, "constraints.0"),
    "a_domain_that_calls": ({"space": '{optimizer.lr: \'__import__("os").system("touch CANARY")\'}'}, "space"),
    "a_domain_up_to_infinity": ({"space": "{optimizer.lr: {distribution: uniform, min: 0, max: .inf}}"}, "space"),
    "a_domain_from_nan": ({"space": "{optimizer.lr: {distribution: uniform, min: .nan, max: 1}}"}, "space"),
    "a_domain_of_infinities": ({"space": "{optimizer.lr: 'loguniform(-inf, inf)'}"}, "space"),
    "a_domain_beyond_floats": ({"space": "{optimizer.lr: 'loguniform(1e-999, 1e999)'}"}, "space"),
    "a_domain_of_a_huge_integer": ({"space": "{batch_size: 'randint(1, " + "9" * 5000 + ")'}"}, "space"),
    "a_path_of_dunders": ({"space": "{optimizer.__class__.__init__: 'uniform(0, 1)'}"}, "space"),
    "a_path_that_climbs_out": ({"space": "{'../../optimizer.lr': 'uniform(0, 1)'}"}, "space"),
    "a_space_file_that_climbs_to_secrets": ({"space": "../../../../../../../../etc/shadow"}, "space"),
    "a_space_file_that_is_a_device": ({"space": "/dev/null"}, "space.file"),
    "a_space_file_that_is_a_folder": ({"space": "runs"}, "space.file"),
    "a_space_file_with_a_nul": ({"space": '"a\\0b"'}, "space"),
    "a_choice_of_objects": ({"space": "{optimizer.lr: {distribution: choice, values: [{a: 1}]}}"}, "space"),
    "a_huge_integer": ({"epochs": "9" * 400}, "epochs"),
    "an_integer_of_many_digits": ({"epochs": "9" * 100_000}, "epochs"),
    "a_negative_count": ({"budget": "{trials: -1}"}, "budget.trials"),
    "infinite_time": ({"budget": "{minutes: .inf}"}, "budget.minutes"),
    "a_rate_that_is_nan": ({"optimizer": "{kind: sgd, lr: .nan}"}, "optimizer.lr"),
    "a_batch_of_more_than_there_is": ({"batch_size": str(10**30)}, "batch_size"),
    "a_seed_beyond_64_bits": ({"seed": str(2**200)}, "seed"),
    "text_for_a_number": ({"epochs": "'1; import os'"}, "epochs"),
    "a_list_for_a_section": ({"model": "[1, 2]"}, "model"),
    "a_null_section": ({"data": "null"}, "data"),
    "an_unknown_kind": ({"data": "{kind: os.system}"}, "data"),
    "an_unknown_section": ({"__class__": "{}"}, "__class__"),
    "a_layer_of_a_billion_units": ({"model": f"{{kind: mlp, hidden: [{10**12}]}}"}, "model"),
    "checkpoints_with_a_nul": ({"storage": '{checkpoints: "a\\0b"}'}, "storage.checkpoints"),
    "checkpoints_in_a_file": ({"storage": "{checkpoints: small.yaml}"}, "storage.checkpoints"),
    "checkpoints_in_a_device": ({"storage": "{checkpoints: /dev/null}"}, "storage.checkpoints"),
    "a_data_file_with_a_nul": ({"data": '{kind: npz, path: "a\\0b"}'}, "data.path"),
    "a_teacher_that_is_a_device": ({"loss": "{kind: distillation, teacher: /dev/null}"}, "teacher"),
    "a_bundle_to_begin_from_that_climbs_out": (
        {"initializer": "{kind: pretrained, bundle: ../../../../../../etc}"},
        "initializer.bundle",
    ),
}
SETTINGS = {
    "a_key_of_dunders": "__class__.__init__=1",
    "a_python_object": "model=!!python/object/apply:os.system",
    "no_key": "=1",
    "no_value": "epochs",
    "a_key_of_dots": "......=1",
    "deep_nesting": "model=" + "[" * 3000,
    "a_number_of_an_entry_beyond_all": f"constraints.{10**30}=x",
    "a_name_that_climbs_out": "name=../escape",
    "a_nul": "name=a\0b",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_refused(name: str, sandbox: Sandbox) -> None:
    (sandbox.here / "hostile.yaml").write_text(TEXTS[name].replace("CANARY", str(sandbox.canary)), encoding="utf-8")

    sandbox.check_refuses("run hostile.yaml", "hostile.yaml")


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_is_no_text_is_refused(name: str, sandbox: Sandbox) -> None:
    (sandbox.here / "hostile.yaml").write_bytes(BYTES[name].replace(b"CANARY", bytes(sandbox.canary)))

    sandbox.check_refuses("run hostile.yaml", "hostile.yaml")


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_refused_by_its_key(name: str, sandbox: Sandbox) -> None:
    sections, key = SECTIONS[name]
    text = sweep_file(**sections).replace("CANARY", str(sandbox.canary))
    (sandbox.here / "hostile.yaml").write_text(text, encoding="utf-8")

    sandbox.check_refuses("run hostile.yaml", key)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_command_line_is_refused(name: str, sandbox: Sandbox) -> None:
    sandbox.check_refuses(f"run small.yaml -s {SETTINGS[name]}")


def test_a_folder_is_no_sweep_file(sandbox: Sandbox) -> None:
    sandbox.check_refuses("run runs", "runs", "must be a file, but is a folder")


def test_a_device_is_no_sweep_file(sandbox: Sandbox) -> None:
    sandbox.check_refuses("run /dev/null", "/dev/null", "is empty")


def test_a_link_that_leads_to_itself_is_no_sweep_file(sandbox: Sandbox) -> None:
    loop = Path("loop.yaml")
    loop.symlink_to(loop)

    sandbox.check_refuses("run loop.yaml", "loop.yaml")
