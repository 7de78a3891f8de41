"""Run a function as another user: root forks a child, which drops its privileges."""

import os
import pwd
import signal
import sys
import traceback
from collections.abc import Callable

from agent.base.errors import UserError


class ChildFailed(Exception):
    """The child ended without a result; its error is on stderr."""


def run_as_user(name: str, work: Callable[[], bytes], timeout_s: int) -> bytes:
    """Return the result of `work`, run as that user; as the current user if that is not root.

    A child that takes longer than `timeout_s` is killed: a file in that user's folders, such as a FIFO, may
    block it for ever.

    Raises UserError if the user is unknown, and ChildFailed if the child ends without a result.
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
    """Drop root's privileges, run `work` and exit. Never returns."""
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
        print(f"{error.filename or 'provision'}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - the child has no other channel
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(exit_code)
