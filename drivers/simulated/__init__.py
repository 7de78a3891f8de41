"""Heads that behave, at the other end of the line: for tests, and for a demo without a head."""
