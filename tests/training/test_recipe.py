import pytest
from pydantic import ValidationError

from hpo.errors import SpaceError
from hpo.records import Params, ParamValue
from hpo.training.initializers import Orthogonal
from hpo.training.losses import CrossEntropy, Focal
from hpo.training.models import Cnn, Custom, Mlp
from hpo.training.optimizers import AdamW, Sgd
from hpo.training.recipe import Recipe, flatten, kinds_of, raw_params, signature, with_params

RECIPE = Recipe(model=Mlp(hidden=(32,)), optimizer=Sgd(lr=0.3, momentum=0.5, weight_decay=0.0))


def test_with_params_sets_dotted_paths_and_keeps_the_rest() -> None:
    recipe = with_params(RECIPE, {"optimizer.lr": 0.01, "model.hidden": (8, 8), "batch_size": 16})

    assert recipe.optimizer == Sgd(lr=0.01, momentum=0.5, weight_decay=0.0)
    assert recipe.model == Mlp(hidden=(8, 8))
    assert recipe.batch_size == 16
    assert recipe.epochs == RECIPE.epochs


def test_with_params_leaves_the_base_as_it_was() -> None:
    with_params(RECIPE, {"optimizer.lr": 0.01})

    assert RECIPE.optimizer == Sgd(lr=0.3, momentum=0.5, weight_decay=0.0)


def test_a_new_kind_keeps_what_it_shares_and_drops_what_it_does_not_have() -> None:
    recipe = with_params(RECIPE, {"optimizer.kind": "adamw"})

    assert recipe.optimizer == AdamW(lr=0.3, weight_decay=0.0)


@pytest.mark.parametrize("paths", [("optimizer.beta2", "optimizer.kind"), ("optimizer.kind", "optimizer.beta2")])
def test_kinds_are_set_first_whatever_the_order(paths: tuple[str, ...]) -> None:
    values: dict[str, ParamValue] = {"optimizer.kind": "adamw", "optimizer.beta2": 0.95}

    recipe = with_params(RECIPE, {path: values[path] for path in paths})

    assert recipe.optimizer == AdamW(lr=0.3, weight_decay=0.0, beta2=0.95)


def test_a_kind_without_settings_needs_only_its_name() -> None:
    recipe = with_params(RECIPE, {"initializer.kind": "orthogonal"})

    assert recipe.initializer == Orthogonal()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("optimizer.learn_rate", "optimizer.learn_rate: must be a value of the recipe, but there is none."),
        ("lr", "Did you mean `optimizer.lr`?"),
        ("optimizer", "Did you mean `optimizer.kind`?"),
        (
            "batch_size.big",
            "batch_size.big: must be a value of the recipe, but there is none. Did you mean `batch_size`?",
        ),
        ("zebra", "It has: model.kind, model.hidden, "),
        ("zebra.kind", "zebra.kind: must be a value of the recipe, but there is none."),
        ("regularizer.kind", "regularizer.kind: must be a value of the recipe, but there is none."),
        ("epochs.kind", "epochs.kind: must be a value of the recipe, but there is none."),
    ],
)
def test_a_path_that_does_not_exist_is_refused(path: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        with_params(RECIPE, {path: "sgd"})

    assert message in str(caught.value)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SpaceError) as caught:
        with_params(RECIPE, {"optimizer.kind": "adam_w"})

    assert str(caught.value) == (
        f"optimizer.kind: must be one of {', '.join(kinds_of('optimizer'))}, but got adam_w. Did you mean `adamw`?"
    )


@pytest.mark.parametrize("value", [-0.1, float("nan"), "0.1", True])
def test_a_value_that_does_not_fit_its_field_is_refused(value: ParamValue) -> None:
    with pytest.raises(ValidationError, match="optimizer.sgd.lr"):
        with_params(RECIPE, {"optimizer.lr": value})


def test_kinds_of_lists_what_a_section_can_be() -> None:
    assert {"mlp": Mlp, "cnn": Cnn, "custom": Custom}.items() <= kinds_of("model").items()
    assert {"cross_entropy": CrossEntropy, "focal": Focal}.items() <= kinds_of("loss").items()


@pytest.mark.parametrize("section", ["regularizer", "augmentation", "lr_factor", "epochs", "grad_clip"])
def test_a_section_without_a_choice_has_no_kinds(section: str) -> None:
    assert kinds_of(section) == {}


def test_trials_that_differ_in_per_lane_numbers_share_a_signature() -> None:
    same = with_params(RECIPE, {"optimizer.lr": 0.01, "optimizer.momentum": 0.1})
    other = with_params(RECIPE, {"batch_size": 16})

    assert signature(same) == signature(RECIPE)
    assert signature(other) != signature(RECIPE)


@pytest.mark.parametrize(
    "params",
    [
        {"initializer.kind": "orthogonal"},
        {"initializer.kind": "constant"},
        {"schedule.floor": 0.1},
        {"swa_lr": 0.1},
        {"snapshots": "all"},
        {"early_stopping.patience": 3},
    ],
)
def test_how_training_begins_and_numbers_of_the_schedule_separate_nobody(params: dict[str, ParamValue]) -> None:
    assert signature(with_params(RECIPE, params)) == signature(RECIPE)


@pytest.mark.parametrize(
    "path",
    [
        "model.dropout",
        "loss.label_smoothing",
        "loss.entropy_coef",
        "regularizer.l1",
        "regularizer.max_norm",
        "regularizer.gradient_noise",
        "grad_clip",
        "ema_half_life",
        "swa_start",
    ],
)
def test_a_piece_that_is_left_out_at_0_separates_trials_with_and_without_it(path: str) -> None:
    without, some, more = (with_params(RECIPE, {path: value}) for value in (0.0, 0.1, 0.2))

    assert signature(without) != signature(some)
    assert signature(some) == signature(more)


@pytest.mark.parametrize("path", ["lr_factor.bias", "lr_factor.head", "lr_factor.layer_decay"])
def test_a_factor_that_is_left_out_at_1_separates_trials_with_and_without_it(path: str) -> None:
    without, some, more = (with_params(RECIPE, {path: value}) for value in (1.0, 0.5, 0.9))

    assert signature(without) != signature(some)
    assert signature(some) == signature(more)


@pytest.mark.parametrize(
    "params",
    [
        {"loss.kind": "focal"},
        {"loss.class_weights": "inverse_frequency"},
        {"optimizer.decay_mode": "decoupled"},
        {"augmentation.flip": "random"},
        {"batches": "stratified"},
        {"batch_growth.every": 0.3},
        {"batch_growth.factor": 3},
    ],
)
def test_what_is_no_number_in_the_arithmetic_separates_trials(params: dict[str, ParamValue]) -> None:
    assert signature(with_params(RECIPE, params)) != signature(RECIPE)


def test_two_averages_of_weights_are_refused() -> None:
    with pytest.raises(ValidationError, match="only one average of weights can be kept, but got ema_half_life=1.0"):
        Recipe(model=Mlp(), ema_half_life=1.0, swa_start=0.5)


def test_flatten_joins_keys_by_dots_and_keeps_lists_whole() -> None:
    flat = flatten({"model": {"hidden": [8, 8]}, "epochs": 3})

    assert flat == {"model.hidden": [8, 8], "epochs": 3}


def test_a_value_that_meant_something_else_to_the_old_kind_takes_its_default() -> None:
    base = Recipe(model=Mlp(hidden=(64, 64), dropout=0.1))

    model = with_params(base, {"model.kind": "cnn"}).model

    assert model == Cnn(dropout=0.1, norm="none")


def test_raw_params_are_what_effective_coordinates_come_to_under_the_searched_kind_and_batch_size() -> None:
    params: Params = {
        "optimizer.kind": "adamw",
        "batch_size": 100,
        "effective.lr": 1e-4,
        "effective.decay_epochs": 5,
    }

    raw = raw_params(RECIPE, params, num_train=1000)
    recipe = with_params(RECIPE, {**params, **raw})

    assert raw == pytest.approx({"optimizer.lr": 1e-3, "optimizer.weight_decay": 1 / (1e-3 * 5 * 10)})
    assert {path: flatten(recipe.as_tree())[path] for path in raw} == raw


def test_raw_params_of_a_space_without_effective_coordinates_are_none() -> None:
    assert raw_params(RECIPE, {"optimizer.lr": 0.1}, num_train=1000) == {}
