"""The command `release`: a hold ends, and its footage may be evicted."""

import msgspec

from agent.base.errors import UserError
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Permission,
    ValidCommand,
    never,
)
from agent.commands.requester import CommandRejected
from agent.config.names import CaseText
from agent.footage.footage_access import FootageAccess
from agent.footage.listed import LISTED_HOLD_EXAMPLE, HoldId, ListedHold, to_listed_hold
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore


class ReleaseArgs(CommandArgs, frozen=True, kw_only=True):
    """The hold's id, as `hold` and `list` give it, and the reason of its end."""

    hold: HoldId
    reason: CaseText


class ReleaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """The hold that has ended."""

    hold: ListedHold


# The second time there is no such hold.
COMMAND = CommandType(
    verb="release",
    args=ReleaseArgs,
    result=ReleaseResult,
    summary="end a hold by command",
    actions=("hold",),
    describe=lambda args: args.hold,
    is_idempotent=never,
    examples=(
        ReleaseArgs(hold="019a4902-3c62-7d2a-9f0e-000000000002", reason="the case is closed"),
    ),
    result_examples=(ReleaseResult(hold=LISTED_HOLD_EXAMPLE),),
)


class ReleaseCommandHandler(CommandHandler):
    """Handles `release`."""

    command = COMMAND

    def __init__(self, access: FootageAccess, hold_store: HoldStore) -> None:
        self._access = access
        self._hold_store = hold_store

    def permission(self, args: ReleaseArgs) -> Permission:
        """Return `hold`, for the hold's camera."""
        hold = self._find(args.hold)
        return Permission(action="hold", cameras=() if hold is None else (hold.camera,))

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> ReleaseResult:
        """Request the end; the retention stage executes it within a second. Raises: CommandRejected."""
        args: ReleaseArgs = command.args
        hold = self._find(args.hold)
        if hold is not None:
            self._access.check_camera(hold.camera, command.requester)
        try:
            released = self._hold_store.request_release(
                args.hold, by=command.requester.by, reason=args.reason
            )
        except UserError as error:
            raise CommandRejected("unknown", str(error)) from error
        except OSError as error:
            raise CommandRejected("failed", f"the release cannot be written: {error}") from error
        return ReleaseResult(hold=to_listed_hold(released))

    def _find(self, hold_id: str) -> Hold | None:
        """Return the hold, or None. A folder that cannot be read holds what it held at the last read."""
        try:
            holds = self._hold_store.active()
        except OSError:
            holds = self._hold_store.all()
        return next((hold for hold in holds if hold.id == hold_id), None)
