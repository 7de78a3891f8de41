"""The command `validation_clips`: spans of a camera's footage drawn by chance in each light, uploaded as light clips.

The box draws, and states the seed, so that no requester chooses the spans. Each clip is admitted, made, sent and receipted as one of the
command `clip`, and continues as one after a restart of the agent.
"""

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from agent.base.clock import rfc3339
from agent.base.count_proof import LIGHTS
from agent.base.view_condition import Light
from agent.clips.clip_admission import ClipAdmission, ClipArgs, Purpose, Time, without_address
from agent.clips.drawn_spans import Interval, draw_spans, intersect
from agent.clips.upload_queue import MAX_PENDING, ClipDraw, UploadQueue, UploadRecord
from agent.clips.upload_replies import (
    UploadReplies,
    ValidationClip,
    ValidationClipsResult,
)
from agent.clips.upload_target import PresignedPut, Tus, UploadTarget, target_host
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    never,
)
from agent.commands.requester import CommandRejected
from agent.config.names import Name
from agent.detection.span_light import LightSpan
from agent.footage.footage_access import FootageAccess, check_order, to_utc
from agent.footage.footage_worker import FootageWorker

MAX_DAY = timedelta(hours=25)
"""A day on which the clock is put back."""
MIN_LENGTH_S, MAX_LENGTH_S = 5, 600
_SEED_BITS = 32


class ValidationClipsArgs(CommandArgs, frozen=True, kw_only=True):
    """Clips of `length_s` from a day of a camera, `clips_per_light` of each light: day and night.

    `uploads` has an address for each clip of both lights; those that are not needed are left unused. `purpose`: see ClipArgs.
    """

    camera: Name
    begin: Time
    end: Time
    clips_per_light: Annotated[int, msgspec.Meta(ge=1, le=MAX_PENDING // len(LIGHTS))]
    length_s: Annotated[int, msgspec.Meta(ge=MIN_LENGTH_S, le=MAX_LENGTH_S)]
    purpose: Purpose
    uploads: Annotated[
        tuple[UploadTarget, ...], msgspec.Meta(min_length=len(LIGHTS), max_length=MAX_PENDING)
    ]


_SERVER = "https://media.centre.example"
COMMAND = CommandType(
    verb="validation_clips",
    args=ValidationClipsArgs,
    result=ValidationClipsResult,
    summary="light clips drawn by chance, to validate the counts",
    actions=("export",),
    cameras=lambda args: (args.camera,),
    describe=lambda args: (
        f"{args.clips_per_light} of {args.camera} in each light to {target_host(args.uploads[0])}"
    ),
    is_idempotent=never,
    examples=(
        ValidationClipsArgs(
            camera="north",
            begin=datetime(2026, 11, 3, tzinfo=UTC),
            end=datetime(2026, 11, 4, tzinfo=UTC),
            clips_per_light=1,
            length_s=120,
            purpose="validation 2026-11",
            uploads=(
                PresignedPut(url=f"{_SERVER}/clips/1.mp4?X-Amz-Signature=0f"),
                PresignedPut(url=f"{_SERVER}/clips/2.mp4?X-Amz-Signature=1e"),
            ),
        ),
        ValidationClipsArgs(
            camera="north",
            begin=datetime(2026, 11, 3, tzinfo=UTC),
            end=datetime(2026, 11, 4, tzinfo=UTC),
            clips_per_light=1,
            length_s=120,
            purpose="validation 2026-11",
            uploads=(
                Tus(url=f"{_SERVER}/files/?ticket=5d"),
                Tus(url=f"{_SERVER}/files/?ticket=5d"),
            ),
        ),
    ),
    result_examples=(
        ValidationClipsResult(
            camera="north",
            seed=2_871_205_339,
            footage_s={"day": 35_460, "night": 50_120},
            clips=(
                ValidationClip(
                    id="8f14e45f-ceea-467f-a8d4-3b2c1d0e9f91.0",
                    address=0,
                    light="day",
                    begin="2026-11-03T09:12:37.400Z",
                    end="2026-11-03T09:14:39.400Z",
                    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    size_bytes=1_780_113,
                ),
                ValidationClip(
                    id="8f14e45f-ceea-467f-a8d4-3b2c1d0e9f91.1",
                    address=1,
                    light="night",
                    begin="2026-11-03T19:40:02.000Z",
                    end="2026-11-03T19:42:02.000Z",
                    failure="media.centre.example answers PUT with 403",
                ),
            ),
        ),
    ),
)


class ValidationClipsCommandHandler(CommandHandler):
    """Draws clips and queues them. `light_spans` returns the known light of a camera, `rng` makes the seeds."""

    command = COMMAND

    def __init__(
        self,
        admission: ClipAdmission,
        queue: UploadQueue,
        replies: UploadReplies,
        access: FootageAccess,
        worker: FootageWorker,
        light_spans: Callable[[str], Sequence[LightSpan]],
        rng: random.Random,
    ) -> None:
        self._admission = admission
        self._queue = queue
        self._replies = replies
        self._access = access
        self._worker = worker
        self._light_spans = light_spans
        self._rng = rng

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Have the footage thread draw the clips and queue them. Raises: CommandRejected."""
        args: ValidationClipsArgs = command.args
        begin, end = to_utc(args.begin, "begin"), to_utc(args.end, "end")
        check_order(begin, end)
        if end - begin > MAX_DAY:
            raise CommandRejected(
                "malformed",
                f"command validation_clips: begin = {rfc3339(begin)}, end = {rfc3339(end)}; allowed: a day, at most "
                f"{MAX_DAY // timedelta(hours=1)} h",
            )
        needed = args.clips_per_light * len(LIGHTS)
        if len(args.uploads) != needed:
            raise CommandRejected(
                "malformed",
                f"command validation_clips: uploads: {len(args.uploads)}; allowed: {needed}, one for each clip of day and night",
            )
        first = Interval(int(begin.timestamp()), int(begin.timestamp()) + args.length_s)
        for upload in args.uploads:
            self._admission.check(_clip_args(args, first, upload), command.requester)
        uploads = tuple(map(without_address, args.uploads))
        public = msgspec.structs.replace(
            command, args=msgspec.structs.replace(args, uploads=uploads)
        )
        self._replies.accept(public)
        try:
            self._worker.start(lambda: self._draw(args, public, progress_sink), progress_sink)
        except CommandRejected:
            self._queue.forget_accepted(command.id)
            raise
        return self._replies.deferred(command.id)

    def _draw(
        self, args: ValidationClipsArgs, command: ValidCommand, sink: CommandProgressSink
    ) -> None:
        """Draw the clips, write the receipt of that, and queue them. `command` is without addresses. Raises: CommandRejected."""
        footage = self._footage_by_light(args)
        seed = self._rng.getrandbits(_SEED_BITS)
        rng = random.Random(seed)  # noqa: S311 - a draw that can be done again, no secret
        drawn = [
            (light, span)
            for light in LIGHTS
            for span in draw_spans(footage[light], args.length_s, args.clips_per_light, rng)
        ]
        if not drawn:
            raise CommandRejected(
                "unknown",
                f"camera {args.camera!r}: no footage of {args.length_s} s in a known light from {rfc3339(args.begin)} to "
                f"{rfc3339(args.end)}",
            )
        words = ", ".join(f"{light} {_rfc3339(span.begin_s)}" for light, span in drawn)
        purpose = f"{args.purpose}: validation clips drawn with seed {seed}: {words}"
        self._access.record_view(args.camera, args.begin, args.end, command.requester.by, purpose)
        footage_s = {
            light: sum(one.end_s - one.begin_s for one in footage[light]) for light in LIGHTS
        }
        records = [
            self._make_record(
                command,
                _clip_args(args, span, args.uploads[number]),
                ClipDraw(light=light, seed=seed, address=number, footage_s=footage_s),
            )
            for number, (light, span) in enumerate(drawn)
        ]
        # Attached first: an upload that ends meanwhile is answered by the one or the other.
        self._replies.attach(command.id, sink)
        try:
            self._queue.add(*records)
        except CommandRejected:
            self._replies.detach(command.id)
            raise
        except OSError as error:
            self._replies.detach(command.id)
            raise CommandRejected("failed", f"the clips cannot be queued: {error}") from error

    def _footage_by_light(self, args: ValidationClipsArgs) -> dict[Light, tuple[Interval, ...]]:
        """Return the complete footage of each light that may be made into light clips. Raises: CommandRejected."""
        spans = self._access.read_closed(args.camera, args.begin, args.end)
        if spans and all(span.sealed for span in spans):
            raise CommandRejected(
                "unsupported",
                f"camera {args.camera!r}: its footage of this day is sealed, and its pictures stay so on this box",
            )
        day = Interval(math.ceil(args.begin.timestamp()), int(args.end.timestamp()))
        recorded = intersect(
            (
                Interval(math.ceil(span.begin.timestamp()), int(span.end.timestamp()))
                for span in spans
                if span.end is not None and not span.sealed
            ),
            [day],
        )
        lit = self._light_spans(args.camera)
        return {
            light: intersect(
                (Interval(one.begin_s, one.end_s) for one in lit if one.light == light), recorded
            )
            for light in LIGHTS
        }

    def _make_record(self, command: ValidCommand, clip: ClipArgs, draw: ClipDraw) -> UploadRecord:
        record = self._admission.make_record(f"{command.id}.{draw.address}", command, clip)
        # A validation is no emergency, whichever role has asked for it.
        return msgspec.structs.replace(record, draw=draw, is_emergency=False)


def _clip_args(args: ValidationClipsArgs, span: Interval, upload: UploadTarget) -> ClipArgs:
    return ClipArgs(
        camera=args.camera,
        begin=datetime.fromtimestamp(span.begin_s, UTC),
        end=datetime.fromtimestamp(span.end_s, UTC),
        form="light",
        purpose=args.purpose,
        upload=upload,
    )


def _rfc3339(unix_s: int) -> str:
    return rfc3339(datetime.fromtimestamp(unix_s, UTC))
