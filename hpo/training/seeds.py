"""Where randomness comes from: names, not order.

Every draw is seeded by what it is for, so that no draw depends on which trials were cut, in which
cohort a trial travelled or after how many restarts it was trained.
"""

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part and on nothing else, on any machine."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def make_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `derive_seed(*parts)`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def seed_layers(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of this processor and of `device`, from which layers draw.

    As `torch.manual_seed`, but that one queues a seed, with a stack trace, for every kind of device that is not there:
    90 microseconds, a quarter of a small network's step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
