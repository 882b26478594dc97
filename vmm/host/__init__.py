"""What devices need of the host's kernel and Python's library does not have."""
