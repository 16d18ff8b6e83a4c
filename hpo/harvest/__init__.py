"""What is taken from a sweep: its best networks, ensembles of them, and an honest word on either."""
