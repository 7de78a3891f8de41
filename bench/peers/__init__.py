"""Programs of others to measure beside. Each runs where it is installed, see `make setup-bench`."""
