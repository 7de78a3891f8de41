"""Counts of labelled films against their labels: truth, scores, and the page of a validation."""
