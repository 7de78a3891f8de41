"""Pins of the box: contacts, lamps, fans and relays."""
