"""Fault codes, the registry of active faults, and their texts in three languages."""
