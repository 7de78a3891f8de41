"""Software of the centre and of the office: store, fleet view, replay, flasher and demo.

A box does not have this package.
"""
