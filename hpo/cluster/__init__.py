"""Sweeps on a Ray cluster, from outside: an hpo command runs on its head, as a job of Ray's."""
