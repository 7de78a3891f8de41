"""The command `list`: the footage of a camera, what is missing of it and why, and its holds.

A reply has a page of at most `max_bytes`. By default it fits into the packets of a broker that takes 2 kB; the next
page begins after `next`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    always,
)
from agent.commands.requester import CommandRejected
from agent.config.names import Name
from agent.footage.footage_access import FootageAccess, UtcTime, check_order, to_utc
from agent.footage.footage_worker import FootageWorker
from agent.footage.listed import (
    LISTED_HOLD_EXAMPLE,
    LISTED_MISSING_EXAMPLE,
    HoldId,
    ListedFootage,
    ListedHold,
    ListedMissing,
    to_listed_footage,
    to_listed_hold,
    to_listed_missing,
)
from agent.recording.missing_footage import MissingSpan
from agent.recording.recorded_span import RecordedSpan
from agent.recording.retention.hold_store import HoldStore

DEFAULT_PAGE_BYTES = 1200
"""With envelope and topic a reply has at most 2,000 bytes."""
MAX_PAGE_BYTES = 100_000
PageBytes = Annotated[int, msgspec.Meta(ge=600, le=MAX_PAGE_BYTES)]
ItemT = TypeVar("ItemT", bound=msgspec.Struct)


class ListFootageArgs(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="footage"):
    """List the footage of a camera that overlaps the span, by default all, and what is missing in it.

    `after` is `next` of the page before.
    """

    camera: Name
    begin: UtcTime | None = None
    end: UtcTime | None = None
    after: UtcTime | None = None
    max_bytes: PageBytes = DEFAULT_PAGE_BYTES


class ListHoldsArgs(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="holds"):
    """List the holds of a camera, the oldest first. `after` is `next` of the page before."""

    camera: Name
    after: HoldId | None = None
    max_bytes: PageBytes = DEFAULT_PAGE_BYTES


class ListResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page: `spans` of `footage`, or `holds`. With a `next` there is more: send it as `after`."""

    spans: tuple[ListedFootage | ListedMissing, ...] | None = None
    holds: tuple[ListedHold, ...] | None = None
    next: str | None = None


_Span: TypeAlias = RecordedSpan | MissingSpan


Args: TypeAlias = ListFootageArgs | ListHoldsArgs

COMMAND = CommandType(
    verb="list",
    args=Args,
    result=ListResult,
    summary="the recorded footage",
    actions=("see",),
    cameras=lambda args: (args.camera,),
    describe=lambda args: (
        f"{args.camera} {'holds' if isinstance(args, ListHoldsArgs) else 'footage'}"
    ),
    is_idempotent=always,
    examples=(
        ListFootageArgs(
            camera="north",
            begin=datetime(2026, 11, 3, 6, 0, tzinfo=UTC),
            end=datetime(2026, 11, 3, 8, 0, tzinfo=UTC),
        ),
        ListFootageArgs(
            camera="north", after=datetime(2026, 11, 3, 7, 12, 30, tzinfo=UTC), max_bytes=60000
        ),
        ListHoldsArgs(camera="north"),
        ListHoldsArgs(
            camera="north", after="019a4901-3c62-7d2a-9f0e-000000000001", max_bytes=60000
        ),
    ),
    result_examples=(
        ListResult(
            spans=(
                ListedFootage(
                    begin="2026-11-03T06:40:10.250Z",
                    end="2026-11-03T07:12:02.500Z",
                    segments=191,
                    size_bytes=95_600_000,
                    sealed=True,
                    clock_synced=True,
                ),
                LISTED_MISSING_EXAMPLE,
            ),
            next="2026-11-03T07:12:30.000Z",
        ),
        ListResult(holds=(LISTED_HOLD_EXAMPLE,)),
    ),
)


class ListCommandHandler(CommandHandler):
    """Handles `list`."""

    command = COMMAND

    def __init__(
        self, access: FootageAccess, hold_store: HoldStore, worker: FootageWorker, clock: Clock
    ) -> None:
        self._access = access
        self._hold_store = hold_store
        self._worker = worker
        self._clock = clock

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Queue the list for the footage thread. Raises: CommandRejected."""
        args: Args = command.args
        self._access.check_camera(args.camera, command.requester)
        by = command.requester.by
        if isinstance(args, ListHoldsArgs):
            holds_args = args
            return self._worker.run(lambda: self._list_holds(holds_args, by), progress_sink)
        begin = None if args.begin is None else to_utc(args.begin, "begin")
        end = None if args.end is None else to_utc(args.end, "end")
        after = None if args.after is None else to_utc(args.after, "after")
        check_order(begin, end)
        footage_args = msgspec.structs.replace(args, begin=begin, end=end, after=after)
        return self._worker.run(lambda: self._list_footage(footage_args, by), progress_sink)

    def _list_footage(self, args: ListFootageArgs, by: str) -> ListResult:
        contents = self._access.read_span(args.camera, args.begin, args.end)
        now = self._clock.utc(self._clock.boottime_ns())
        spans: list[_Span] = [*contents.recorded, *contents.missing]
        spans.sort(key=lambda span: span.begin)
        begin = args.begin or (spans[0].begin if spans else now)
        self._access.record_view(args.camera, begin, max(begin, args.end or now), by)
        if args.after is not None:
            after = args.after
            spans = [span for span in spans if _to_milliseconds(span.begin) >= after]
        page = _fill_page([_to_item(span) for span in spans], args.max_bytes)
        # A next page that begins as this one does would never end.
        count = len(page)
        while 0 < count < len(spans) and _begins_together(spans[count], spans[0]):
            count += 1
        is_last = count == len(spans)
        return ListResult(
            spans=tuple(_to_item(span) for span in spans[:count]),
            next=None if is_last else rfc3339(_to_milliseconds(spans[count].begin)),
        )

    def _list_holds(self, args: ListHoldsArgs, by: str) -> ListResult:
        try:
            holds = [hold for hold in self._hold_store.active() if hold.camera == args.camera]
        except OSError as error:
            raise CommandRejected("failed", f"the holds cannot be read: {error}") from error
        now = self._clock.utc(self._clock.boottime_ns())
        self._access.record_view(args.camera, now, now, by)
        if args.after is not None:
            holds = [hold for hold in holds if hold.id > args.after]
        page = _fill_page([to_listed_hold(hold) for hold in holds], args.max_bytes)
        return ListResult(
            holds=tuple(page), next=page[-1].hold if page and len(page) < len(holds) else None
        )


def _fill_page(items: Sequence[ItemT], max_bytes: int) -> list[ItemT]:
    """Return the first items that fit, but at least one."""
    page: list[ItemT] = []
    size_bytes = 0
    for item in items:
        size_bytes += len(msgspec.json.encode(item)) + 1
        if page and size_bytes > max_bytes:
            break
        page.append(item)
    return page


def _to_item(span: _Span) -> ListedFootage | ListedMissing:
    return to_listed_missing(span) if isinstance(span, MissingSpan) else to_listed_footage(span)


def _to_milliseconds(time: datetime) -> datetime:
    """Return a time as it is written in `next`."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _begins_together(span: _Span, other: _Span) -> bool:
    return _to_milliseconds(span.begin) == _to_milliseconds(other.begin)
