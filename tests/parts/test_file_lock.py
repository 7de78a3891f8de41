"""agent.base.file_lock: a lock of another process is waited for, and not without end."""

import os
import threading
from pathlib import Path

import pytest

from agent.base import file_lock
from agent.base.file_lock import LockTimeout, lock_exclusively
from tests.stopped_lock_holder import stopped_lock_holder


def test_the_lock_of_a_stopped_process_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT_S", 0.1)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with stopped_lock_holder(tmp_path), pytest.raises(LockTimeout) as raised:
        lock_exclusively(fd, tmp_path)
    assert str(raised.value) == f"{tmp_path}: another process has held the lock for 0.1 s"
    lock_exclusively(fd, tmp_path)
    os.close(fd)


def test_a_lock_that_is_freed_in_time_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT_S", 60.0)
    fds = [os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY) for _ in range(3)]
    lock_exclusively(fds[0], tmp_path)
    waiting = threading.Thread(target=lock_exclusively, args=(fds[1], tmp_path))
    waiting.start()
    os.close(fds[0])
    waiting.join()
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT_S", 0.0)
    with pytest.raises(LockTimeout):
        lock_exclusively(fds[2], tmp_path)
    for fd in fds[1:]:
        os.close(fd)
