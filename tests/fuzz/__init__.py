"""Fuzzing of each parser that reads what others wrote: `make fuzz`, CONTRIBUTING.md."""
