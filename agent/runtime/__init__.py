"""Loops in threads, what stands between two of them, and who starts and stops them."""
