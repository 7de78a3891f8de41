"""A box with footage, its dispatcher and its stage `uploads`, each in its thread."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import msgspec

from agent.base.clock import rfc3339
from agent.base.model import (
    CommandAccepted,
    CommandDone,
    CommandProgress,
    CommandRefused,
    IncomingCommand,
    Reply,
)
from agent.clips.clip_admission import ClipAdmission
from agent.clips.clip_command import ClipCommandHandler
from agent.clips.clip_task import MadeFile
from agent.clips.upload_queue import UploadQueue, UploadRecord
from agent.clips.upload_replies import ClipResult, UploadReplies, ValidationClipsResult
from agent.clips.upload_stage import UploadSettings, UploadStage
from agent.clips.validation_clips_command import ValidationClipsCommandHandler
from agent.commands.dispatcher import CommandDispatcher
from agent.commands.idempotency_store import IdempotencyStore
from agent.config.configuration import InstitutionConfig
from agent.config.link import LinkConfig
from agent.detection.span_light import LightSpan
from agent.diagnostics.support_bundle.builder import make_bundle
from agent.diagnostics.support_bundle.bundle_command import BundleCommandHandler
from agent.faults.registry import FaultRegistry
from agent.footage.footage_access import FootageAccess
from agent.footage.footage_worker import FootageWorker
from agent.runtime.link_budget import LinkBudget
from agent.runtime.stage import StageThread
from tests.conftest import ManualClock
from tests.vectors.street import StreetBox
from tests.whole.report.reporting_box import wait_until

BOX = "casa-0001"
TIMEOUT_S = 60.0


class UploadBox:
    """One run of the agent's parts that a clip needs, on a state folder. Its clock is set by hand.

    The thread of the stage `never_turned` gets no turn before the run ends, and its stage is not closed, as in a kill.
    """

    def __init__(
        self,
        street: StreetBox,
        link: LinkConfig,
        policies: Mapping[str, InstitutionConfig] | None = None,
        *,
        never_turned: str = "",
        is_outbox_behind: Callable[[], bool] = lambda: False,
        record_sending: Callable[[UploadRecord, MadeFile], None] | None = None,
    ) -> None:
        self.street = street
        self.clock = ManualClock()
        self.clock.boot_utc = street.utc_at(60)
        self.replies: list[Reply] = []
        self.published: list[Reply] = []
        self.receipts: list[tuple[UploadRecord, MadeFile]] = []
        self.light: tuple[LightSpan, ...] = ()
        self.queue = UploadQueue.open(street.state)
        self.budget = LinkBudget(link.rate_kbit_s, link.bytes_per_day)
        upload_replies = UploadReplies(self.queue)
        settings = UploadSettings(
            state_dir=street.state,
            box=BOX,
            ca=link.ca,
            configured_reserve_bytes=0,
        )
        self.stage = UploadStage(
            settings,
            self.queue,
            self.budget,
            self.clock,
            random.Random(5),
            record_sending or (lambda record, made: self.receipts.append((record, made))),
            upload_replies,
            is_outbox_behind,
        )
        admission = ClipAdmission(link, lambda: ["north"], policies or {}, self.clock)
        handler = ClipCommandHandler(admission, self.queue, upload_replies)
        footage = FootageWorker()
        access = FootageAccess(
            street.state / "footage", street.custody, self.clock, policies or {}, frozenset()
        )
        validation_clips = ValidationClipsCommandHandler(
            admission,
            self.queue,
            upload_replies,
            access,
            footage,
            lambda _camera: self.light,
            random.Random(6),
        )
        self.faults = FaultRegistry(self.clock.boottime_ns)
        store = IdempotencyStore(street.state / "commands.db", self.clock, self.faults)
        self.actions: list[tuple[str, str]] = []
        bundles = BundleCommandHandler(
            link,
            self.queue,
            upload_replies,
            partial(
                make_bundle,
                street.state / "vigie.toml",
                clock=self.clock,
                default_state_dir=street.state,
                read_journal=lambda: b"INFO connected\n",
            ),
            self.clock,
            lambda by, action: self.actions.append((by, action)),
        )
        self.dispatcher = CommandDispatcher([handler, validation_clips, bundles], store, self.clock)
        upload_replies.resume(
            lambda command, deferred: self.dispatcher.resume(
                command, self.published.append, deferred
            )
        )
        self._threads = [
            StageThread(stage, self.clock.boottime_ns, random.Random(4), vital=False)
            for stage in (self.dispatcher, self.stage, footage.stage, bundles.stage)
            if stage.name != never_turned
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            assert thread.join(TIMEOUT_S)
        assert {thread.health().last_error for thread in self._threads} == {None}

    def send(
        self,
        upload: Mapping[str, object],
        command_id: str = "one",
        *,
        form: str = "original",
        by: str = "amina",
        role: str = "operator",
        **args: Any,
    ) -> None:
        """Give the command, as over MQTT."""
        span = {"begin": self.street.utc_at(5), "end": self.street.utc_at(11)} | args
        clip = {"camera": "north", "form": form, "purpose": "case 2026/118", "upload": upload}
        self._submit("clip", clip | span, command_id, by=by, role=role)

    def send_validation(
        self,
        uploads: Sequence[Mapping[str, object]],
        command_id: str = "one",
        *,
        by: str = "amina",
        role: str = "operator",
        **args: Any,
    ) -> None:
        """Give the command `validation_clips` about the first minute."""
        given = {
            "camera": "north",
            "begin": self.street.utc_at(0),
            "end": self.street.utc_at(60),
            "clips_per_light": 1,
            "length_s": 5,
            "purpose": "validation 2026-11",
            "uploads": uploads,
        }
        self._submit("validation_clips", given | args, command_id, by=by, role=role)

    def send_bundle(self, upload: Mapping[str, object], command_id: str = "one") -> None:
        """Give the command `bundle`."""
        self._submit("bundle", {"upload": upload}, command_id, by="amina", role="operator")

    def _submit(
        self, verb: str, args: Mapping[str, object], command_id: str, *, by: str, role: str
    ) -> None:
        expires = rfc3339(self.clock.utc(self.clock.boottime_ns() + 60 * 10**9))
        command = {"id": command_id, "expires": expires, "by": by, "role": role, "args": args}
        self.dispatcher.submit(
            IncomingCommand(
                verb=verb,
                payload=msgspec.json.encode(command),
                via="a test",
                send_reply=self.replies.append,
            )
        )

    def wait_for_reply(self, command_id: str = "one") -> CommandDone | CommandRefused:
        """The last reply to a command, whichever way it comes."""
        found: list[CommandDone | CommandRefused] = []

        def has_reply() -> bool:
            # The pauses between two tries pass four times as fast.
            self.clock.advance_s(0.02)
            found[:] = [
                reply
                for reply in [*self.replies, *self.published]
                if reply.command == command_id
                and not isinstance(reply, CommandAccepted | CommandProgress)
            ]
            return bool(found)

        wait_until(has_reply, TIMEOUT_S)
        return found[0]

    def wait_for_drawn(self, command_id: str = "one") -> ValidationClipsResult:
        """The clips of a draw that has to succeed."""
        reply = self.wait_for_reply(command_id)
        assert isinstance(reply, CommandDone), reply
        return msgspec.json.decode(reply.result, type=ValidationClipsResult)

    def wait_for_result(self, command_id: str = "one") -> ClipResult:
        """The result of a command that has to succeed."""
        reply = self.wait_for_reply(command_id)
        assert isinstance(reply, CommandDone), reply
        return msgspec.json.decode(reply.result, type=ClipResult)

    def wait_for_refusal(self, command_id: str = "one") -> CommandRefused:
        """The refusal of a command that has to fail."""
        reply = self.wait_for_reply(command_id)
        assert isinstance(reply, CommandRefused), reply
        return reply
