import torch

from hpo.training.seeds import seed_layers


def test_layers_draw_as_after_torchs_own_seeding() -> None:
    torch.manual_seed(7)
    expected = torch.rand(5)

    seed_layers(7, torch.device("cpu"))

    assert torch.rand(5).equal(expected)
