"""Method `clip` of the control socket: clips of sealed footage for exports.

Only the running agent has the keys, in memory, and they stay there. The requester passes the
clip's file, open and empty, so the agent opens nothing but its own segments: the names of
segments and of the camera are looked up and never taken as paths.
"""

import fcntl
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.base.atomic_file import sync
from agent.base.errors import UserError
from agent.recording.encryption.keys import KeyLookup
from agent.recording.export.clip import (
    ClipError,
    ClipInfo,
    ClipSource,
    clip_source,
    write_clip_to_fd,
)
from agent.recording.export.clip_request import MAX_CLIP_SEGMENTS, ClipDone, ClipRequest
from agent.recording.segment_name import parse_segment_name
from agent.runtime import control_client
from agent.runtime.local_server import LocalRequest

log = logging.getLogger(__name__)

MAX_CUT_S = 25.0
"""For one clip: less than a stage may go without a turn."""

REPLY_TIMEOUT_S = 60.0
"""For the requester: another one's clip, and its own."""


class _ClipRejected(Exception):
    """A clip is refused. `str(error)` says why in one sentence."""


class ClipHandler:
    """Cuts clips on request.

    `key_lookups` give the keys of the recorded cameras' segments. `on_view` is called with the
    request and the requester before anything is read; if it raises OSError, no clip is cut.
    """

    def __init__(
        self,
        footage_dir: Path,
        key_lookups: Mapping[str, KeyLookup],
        clock_ns: Callable[[], int],
        on_view: Callable[[ClipRequest, str], None],
    ) -> None:
        self._footage_dir = footage_dir
        self._key_lookups = dict(key_lookups)
        self._clock_ns = clock_ns
        self._on_view = on_view

    def handle(self, clip: ClipRequest, request: LocalRequest) -> None:
        """Cut one clip. Blocks for up to MAX_CUT_S, or until the agent stops."""
        try:
            request.reply(ClipDone(clip=self._cut_clip(clip, request)))
        except (_ClipRejected, ClipError) as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename or 'clip'}: {error.strerror or error}"
        else:
            return
        log.warning("no clip: %s", problem)
        request.refuse("failed", problem)

    def _cut_clip(self, clip: ClipRequest, request: LocalRequest) -> ClipInfo:
        """Raises: _ClipRejected, ClipError and OSError if there is no clip."""
        if len(request.fds) != 1:
            raise _ClipRejected("no open file was passed")
        (fd,) = request.fds
        sources, find_key = self._resolve_sources(clip)
        _check_output_file(fd)
        peer = request.peer
        self._on_view(clip, f"process {peer.pid} of user {peer.uid}")
        deadline_ns = self._clock_ns() + int(MAX_CUT_S * 1e9)
        info = write_clip_to_fd(
            sources,
            clip.begin_ns,
            clip.end_ns,
            fd,
            find_key,
            lambda: request.is_open and self._clock_ns() < deadline_ns,
        )
        log.info(
            "%s: cut a clip of %.1f s from %s on, for process %d of user %d",
            clip.camera,
            info.duration_ns / 1e9,
            info.segments[0],
            peer.pid,
            peer.uid,
        )
        return info

    def _resolve_sources(self, request: ClipRequest) -> tuple[list[ClipSource], KeyLookup]:
        """Return the segments' files in order, and the lookup of their keys."""
        find_key = self._key_lookups.get(request.camera)
        if find_key is None:
            raise _ClipRejected(f"camera {request.camera!r}: no such camera is recorded")
        folder = self._footage_dir / request.camera
        sources = []
        for segment_name in sorted(set(request.segments)):
            name = parse_segment_name(segment_name)
            if name is None:
                raise _ClipRejected(f"segment {segment_name!r}: not a segment's name")
            sources.append(clip_source(folder / segment_name, name))
        return sources, find_key


def request_clip(state_dir: Path, request: ClipRequest, out: Path) -> ClipInfo | None:
    """Have the agent of a state folder cut a clip into the new file `out`, durably.

    Returns None if no agent that encrypts is reachable. Raises: ClipError if the agent refuses or does not
    answer, OSError if `out` cannot be written; then there is no `out`.
    """
    if control_client.find_agent(state_dir) is None:
        return None
    if len(request.segments) > MAX_CLIP_SEGMENTS:
        raise ClipError(
            f"sealed, and of more than {MAX_CLIP_SEGMENTS} segments; allowed: a shorter span"
        )
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        clip = _exchange(state_dir, request, fd)
        sync(fd)
    except BaseException:
        out.unlink()
        raise
    finally:
        os.close(fd)
    if clip is None:
        out.unlink()
    return clip


def _exchange(state_dir: Path, request: ClipRequest, fd: int) -> ClipInfo | None:
    try:
        done = control_client.request_one(state_dir, request, ClipDone, REPLY_TIMEOUT_S, fd)
    except control_client.AgentRefused as error:
        if error.code == "unsupported":
            # An agent that seals nothing has no keys either.
            return None
        raise ClipError(str(error)) from error
    except (OSError, UserError) as error:
        raise ClipError(f"the agent, which has the keys: {error}") from error
    return None if done is None else done.clip


def _check_output_file(fd: int) -> None:
    """Raise _ClipRejected unless it is an empty regular file: a pipe could block."""
    status = os.fstat(fd)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if not stat.S_ISREG(status.st_mode) or status.st_size or os.lseek(fd, 0, os.SEEK_CUR):
        raise _ClipRejected("allowed: an empty file")
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise _ClipRejected("the file is not open for writing")
