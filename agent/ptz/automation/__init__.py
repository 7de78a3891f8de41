"""Automatic movers of a head: guard tours, auto-tracking, and the panorama scan."""
