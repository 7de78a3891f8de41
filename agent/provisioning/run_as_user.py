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


def as_user(name: str, work: Callable[[], bytes], within_s: int) -> bytes:
    """What `work` returns, done as that user; as ourselves where we are not root and cannot choose.
    A child that takes longer is ended: something in that user's folders may keep it for ever.

    Raises BadInput for an unknown user, and ChildFailed.
    """
    if os.geteuid() != 0:
        return work()
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise UserError(f"--user {name!r}: no such user; allowed: the agent's user") from error
    sys.stdout.flush()
    sys.stderr.flush()
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(here)
        signal.alarm(within_s)
        _be(user, work, there)
    os.close(there)
    with os.fdopen(here, "rb") as answer:
        data = answer.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise ChildFailed(f"the work as user {name!r} ended with code {code}")
    return data


def _be(user: pwd.struct_passwd, work: Callable[[], bytes], answer_to: int) -> None:
    """Never returns."""
    code = 1
    try:
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        os.umask(0o077)
        data = work()
        with os.fdopen(answer_to, "wb") as answer:
            answer.write(data)
        code = 0
    except OSError as error:
        print(f"{error.filename or 'provision'}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - nobody else is there to tell it
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
