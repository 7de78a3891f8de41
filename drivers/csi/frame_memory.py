"""Memory that child and parent share, for frames on their way.

It is a memfd that the child inherits: it has no name that could be left behind, and the kernel
frees it with the last of the two processes, however they end. A slot belongs to the child until a
frame in it was announced, and to the parent until it was freed; both are told over sockets, which
order the accesses.
"""

import mmap
import os

import numpy as np

from drivers.csi.nv12 import frame_bytes, planar_views
from drivers.masking import Planes

SLOT_COUNT = 4
"""A frame in the making, one on its way, and two for a parent that was held up."""


def create_memory() -> int:
    """The descriptor of an empty memory. The child makes it as large as its frames need."""
    return os.memfd_create("vigie csi frames", os.MFD_CLOEXEC)


class FrameMemory:
    """The slots, mapped. Frames have even sizes."""

    def __init__(self, fd: int, width_px: int, height_px: int, slots: int) -> None:
        """`fd` stays the caller's."""
        self._size_px = (width_px, height_px)
        self._slot_bytes = frame_bytes(width_px, height_px)
        self._mapped = mmap.mmap(fd, self._slot_bytes * slots)

    @staticmethod
    def reserve(fd: int, width_px: int, height_px: int, slots: int) -> None:
        """Make the memory large enough."""
        os.ftruncate(fd, frame_bytes(width_px, height_px) * slots)

    def writable_planes(self, slot: int) -> Planes:
        """The planes of a slot, to be written to; not to be kept."""
        flat = np.frombuffer(
            self._mapped, np.uint8, self._slot_bytes, offset=slot * self._slot_bytes
        )
        return planar_views(flat, *self._size_px)

    def copy_planes(self, slot: int) -> Planes:
        """The planes of a slot in memory of their own, that nobody writes to."""
        begin = slot * self._slot_bytes
        flat = np.frombuffer(self._mapped[begin : begin + self._slot_bytes], np.uint8)
        return planar_views(flat, *self._size_px)

    def close(self) -> None:
        """Unmap. No planes of a slot may be alive."""
        self._mapped.close()
