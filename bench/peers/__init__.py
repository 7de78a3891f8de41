"""Programs of others to compare with. Each runs where it is installed, see `make setup-bench`."""
