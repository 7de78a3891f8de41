"""Incidents: one order of the centre to many boxes, which ends by itself."""
