"""The command `hold`: footage of a camera and a span is not evicted, for a case."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    Permission,
    ValidCommand,
    never,
)
from agent.commands.requester import CommandRejected, Requester
from agent.config.names import CaseText, Name
from agent.config.recording import MAX_AGE_DAYS
from agent.footage.footage_access import FootageAccess, UtcTime, check_order, to_utc
from agent.footage.footage_worker import FootageWorker
from agent.footage.listed import (
    LISTED_HOLD_EXAMPLE,
    LISTED_MISSING_EXAMPLE,
    ListedHold,
    ListedMissing,
    to_listed_hold,
    to_listed_missing,
)
from agent.recording.retention.hold_store import HoldStore

SIGNERS_OF_LONG_HOLD = 2
MAX_MISSING = 4
"""Missing spans in the reply, so that it fits into the packets of a broker that takes 2 kB."""


class HoldArgs(CommandArgs, frozen=True, kw_only=True):
    """The camera, the span, and the reference of the case.

    The hold ends `days` from now, by default after `hold.command_days` of the configuration.
    """

    camera: Name
    begin: UtcTime
    end: UtcTime
    case: CaseText
    reason: CaseText
    days: Annotated[float, msgspec.Meta(gt=0, le=MAX_AGE_DAYS)] | None = None


class HoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """The hold, and what is there of it.

    `missing` has the first spans up to now without footage, such as one that was evicted before the hold came;
    `missing_count` is the number of all of them: see the command `list`.
    """

    hold: ListedHold
    segments: int
    size_bytes: int
    missing: tuple[ListedMissing, ...]
    missing_count: int


_BEGIN, _END = (datetime(2026, 11, 3, 7, minute, tzinfo=UTC) for minute in (0, 30))
# There would be two holds.
COMMAND = CommandType(
    verb="hold",
    args=HoldArgs,
    result=HoldResult,
    summary="keep footage for a case",
    actions=("hold", "lift_mask"),
    cameras=lambda args: (args.camera,),
    describe=lambda args: f"{args.camera} case {args.case!r}",
    is_idempotent=never,
    examples=(
        HoldArgs(camera="north", begin=_BEGIN, end=_END, case="2026/118", reason="accident"),
        HoldArgs(
            camera="north", begin=_BEGIN, end=_END, case="2026/118", reason="accident", days=14
        ),
    ),
    result_examples=(
        HoldResult(
            hold=LISTED_HOLD_EXAMPLE,
            segments=177,
            size_bytes=88_500_000,
            missing=(LISTED_MISSING_EXAMPLE,),
            missing_count=1,
        ),
    ),
)


class HoldCommandHandler(CommandHandler):
    """Handles `hold`. `command_days` is the configuration's."""

    command = COMMAND

    def __init__(
        self,
        access: FootageAccess,
        hold_store: HoldStore,
        worker: FootageWorker,
        command_days: float,
    ) -> None:
        self._access = access
        self._hold_store = hold_store
        self._worker = worker
        self._command_days = command_days

    def permission(self, args: HoldArgs) -> Permission:
        """Return `hold` for the camera; for longer than one requester may hold `lift_mask`, which two sign for."""
        is_long = args.days is not None and args.days > self._command_days
        return Permission(action="lift_mask" if is_long else "hold", cameras=(args.camera,))

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Check the command, and queue it for the footage thread. Raises: CommandRejected."""
        args: HoldArgs = command.args
        self._access.check_camera(args.camera, command.requester)
        begin, end = to_utc(args.begin, "begin"), to_utc(args.end, "end")
        check_order(begin, end)
        days = self._command_days if args.days is None else args.days
        if days > self._command_days and len(command.signers) < SIGNERS_OF_LONG_HOLD:
            raise CommandRejected(
                "forbidden",
                f"days = {days:g}: one requester holds footage for {self._command_days:g} days at most "
                "(hold.command_days); longer needs the signatures of two people",
            )
        checked = msgspec.structs.replace(args, begin=begin, end=end, days=days)
        return self._worker.run(
            lambda: self._place(checked, days, command.requester), progress_sink
        )

    def _place(self, args: HoldArgs, days: float, requester: Requester) -> HoldResult:
        """Hold first: what is evicted meanwhile would be missing in the reply."""
        try:
            hold = self._hold_store.place(
                args.camera,
                args.begin,
                args.end,
                owner=requester.by,
                reason=args.reason,
                days=days,
                case=args.case,
            )
        except UserError as error:
            raise CommandRejected("malformed", str(error)) from error
        except OSError as error:
            raise CommandRejected("failed", f"the hold cannot be written: {error}") from error
        contents = self._access.read_span(args.camera, args.begin, args.end)
        return HoldResult(
            hold=to_listed_hold(hold),
            segments=contents.segment_count,
            size_bytes=contents.size_bytes,
            missing=tuple(map(to_listed_missing, contents.missing[:MAX_MISSING])),
            missing_count=len(contents.missing),
        )
