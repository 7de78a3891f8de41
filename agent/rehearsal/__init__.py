"""Rehearsal of a configuration on recorded footage, next to the one in force."""
