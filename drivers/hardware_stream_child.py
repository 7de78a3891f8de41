"""The child that reads a network camera and has a decoder of the board.

It does what `drivers.stream_child` does, by a fork server of its own, so that the children of other cameras are in a unit without
the device.
"""

from drivers.stream_child import prepare, run

__all__ = ["prepare", "run"]
