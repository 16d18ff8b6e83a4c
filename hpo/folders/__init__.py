"""The folders of sweeps: made, read by whoever looks, changed from outside, mended and cleaned."""
