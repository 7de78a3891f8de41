"""Files of one folder that the disk did not delete: they are passed over until they are tried again. Pure."""

import errno

from agent.recording.retention.eviction_plan import Undeletable
from agent.runtime.pause import Pause

RETRY_S = 30.0
"""Wait after a failure of the disk: each attempt appends a receipt."""

MAX_FAILURES_IN_A_ROW = 32
"""Then the folder refuses each deletion, and its other files are not tried: each batch of them would get a receipt.
A damaged block of inodes of ext4 has 16 files, which may follow each other.
"""


class UndeletableFiles:
    """The failed deletions in one folder since they were last tried again, by the counter or the name of the file."""

    def __init__(self) -> None:
        self._retry_pause = Pause()
        self._forget()

    def _forget(self) -> None:
        self.error: OSError | None = None
        """The first failure, or None."""
        self._keys: set[int | str] = set()
        self._size_bytes = 0
        self._failures_in_a_row = 0
        self._is_read_only = False

    def forget_due(self, t_ns: int) -> None:
        """Have the files tried again if RETRY_S have passed since the first failure."""
        if self.error is not None and self._retry_pause.is_over(t_ns):
            self._forget()

    def add(self, key: int | str, size_bytes: int, error: OSError, t_ns: int) -> None:
        """Note a failure."""
        if self.error is None:
            self.error = error
            self._retry_pause.begin(t_ns, RETRY_S)
        self._keys.add(key)
        self._size_bytes += size_bytes
        self._failures_in_a_row += 1
        self._is_read_only = error.errno == errno.EROFS

    def on_deleted(self) -> None:
        """Note a success."""
        self._failures_in_a_row = 0

    @property
    def is_whole_folder(self) -> bool:
        """Whether the folder refuses each deletion, as a damaged or a read-only one does."""
        return self._is_read_only or self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW

    def snapshot(self, folder_bytes: int) -> Undeletable:
        """Return the part of `plan_eviction`'s input, in a folder with so many bytes."""
        is_whole_folder = self.is_whole_folder
        return Undeletable(
            keys=frozenset(self._keys),
            size_bytes=folder_bytes if is_whole_folder else self._size_bytes,
            is_whole_folder=is_whole_folder,
        )
