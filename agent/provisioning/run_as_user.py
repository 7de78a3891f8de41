"""Work that root has done by another user: in a child that has given up everything else."""

import os
import pwd
import signal
import sys
import traceback
from collections.abc import Callable

from agent.base.errors import UserError


class ChildFailed(Exception):
    """The child ended without an answer; what it had to say is on stderr."""


def run_as_user(name: str, work: Callable[[], bytes], timeout_s: int) -> bytes:
    """What `work` returns, done as that user; as ourselves where we are not root and cannot choose.
    A child that takes longer is ended: something in that user's folders may keep it for ever.

    Raises UserError for an unknown user, and ChildFailed.
    """
    if os.geteuid() != 0:
        return work()
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise UserError(f"--user {name!r}: no such user; allowed: the agent's user") from error
    sys.stdout.flush()
    sys.stderr.flush()
    read_fd, write_fd = os.pipe()
    child_pid = os.fork()
    if child_pid == 0:
        os.close(read_fd)
        signal.alarm(timeout_s)
        _run_child(user, work, write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child_pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise ChildFailed(f"the work as user {name!r} ended with code {code}")
    return data


def _run_child(user: pwd.struct_passwd, work: Callable[[], bytes], write_fd: int) -> None:
    """Never returns."""
    exit_code = 1
    try:
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        os.umask(0o077)
        data = work()
        with os.fdopen(write_fd, "wb") as pipe:
            pipe.write(data)
        exit_code = 0
    except OSError as error:
        print(f"{error.filename or 'provision'}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - nobody else is there to tell it
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(exit_code)
