"""Vitals: readings of the kernel, the board, its disk and its network link."""
