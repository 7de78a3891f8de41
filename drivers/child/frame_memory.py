"""Shared memory of child and parent, for frames.

It is a memfd that the child inherits: it has no name that could be left behind, and the kernel frees
it with the last of the two processes, however they end. A slot belongs to the child until it announces
a frame, and then to the parent until it frees the slot; both messages go over sockets, which order the
accesses.

The parent seals the size before it maps the memory: a child that shrinks a mapped file would end the parent
by SIGBUS. A child may still write into a slot of the parent's, so the parent works on copies alone.
"""

import fcntl
import mmap
import os

import numpy as np

from drivers.child.messages import frame_bytes
from drivers.media import Plane, Planes

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create_memory() -> int:
    """Create an empty memory and return its descriptor. The child sets its size."""
    return os.memfd_create("vigie frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def planar_views(flat: Plane, width_px: int, height_px: int) -> Planes:
    """Return views of the three consecutive planes in `frame_bytes`."""
    luma = width_px * height_px
    rows, columns = (height_px + 1) // 2, (width_px + 1) // 2
    chroma = rows * columns
    return (
        flat[:luma].reshape(height_px, width_px),
        flat[luma : luma + chroma].reshape(rows, columns),
        flat[luma + chroma : luma + 2 * chroma].reshape(rows, columns),
    )


class FrameMemory:
    """The mapped slots."""

    def __init__(self, fd: int, width_px: int, height_px: int, slots: int) -> None:
        """The caller closes `fd`. Raises: ValueError if the memory is smaller than its slots."""
        self._size_px = (width_px, height_px)
        self._slot_bytes = frame_bytes(width_px, height_px)
        self._mapped = mmap.mmap(fd, self._slot_bytes * slots)

    @staticmethod
    def reserve(fd: int, width_px: int, height_px: int, slots: int) -> None:
        """Extend the memory to the size of the slots."""
        os.ftruncate(fd, frame_bytes(width_px, height_px) * slots)

    @staticmethod
    def seal(fd: int) -> None:
        """Fix the memory's size, for both processes and for ever."""
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)

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
