"""Shared memory of child and parent, for frames.

It is a memfd that the child inherits: it has no name that could be left behind, and the kernel frees
it with the last of the two processes, however they end. A slot belongs to the child until it announces
a frame, and then to the parent until it frees the slot; both messages go over sockets, which order the
accesses.
"""

import mmap
import os

import numpy as np

from drivers.csi.nv12 import frame_bytes, planar_views
from drivers.masking import Planes

SLOT_COUNT = 4
"""One frame being written, one in transfer, and two for a parent that is late."""


def create_memory() -> int:
    """Create an empty memory and return its descriptor. The child sets its size."""
    return os.memfd_create("vigie csi frames", os.MFD_CLOEXEC)


class FrameMemory:
    """The mapped slots. Frames have even sizes."""

    def __init__(self, fd: int, width_px: int, height_px: int, slots: int) -> None:
        """The caller closes `fd`."""
        self._size_px = (width_px, height_px)
        self._slot_bytes = frame_bytes(width_px, height_px)
        self._mapped = mmap.mmap(fd, self._slot_bytes * slots)

    @staticmethod
    def reserve(fd: int, width_px: int, height_px: int, slots: int) -> None:
        """Extend the memory to the size of the slots."""
        os.ftruncate(fd, frame_bytes(width_px, height_px) * slots)

    def writable_planes(self, slot: int) -> Planes:
        """Return the planes of a slot for writing; do not keep them."""
        flat = np.frombuffer(
            self._mapped, np.uint8, self._slot_bytes, offset=slot * self._slot_bytes
        )
        return planar_views(flat, *self._size_px)

    def copy_planes(self, slot: int) -> Planes:
        """Return read-only copies of the planes of a slot."""
        begin = slot * self._slot_bytes
        flat = np.frombuffer(self._mapped[begin : begin + self._slot_bytes], np.uint8)
        return planar_views(flat, *self._size_px)

    def close(self) -> None:
        """Unmap. No planes of a slot may be alive."""
        self._mapped.close()
