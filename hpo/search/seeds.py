"""Seeds of proposals."""

import hashlib


def derive_seed(seed: int, number: int) -> int:
    """Of proposal `number`, in [0, 2**32), the same on any machine."""
    digest = hashlib.blake2b(f"proposal/{seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
