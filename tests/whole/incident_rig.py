"""A box for the tests of incidents: real holds and real state, with a head behind the real dispatcher."""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.base.clock import rfc3339
from agent.base.model import Event, IncidentOutcome, IncidentReport, Reply
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import Requester
from agent.config.configuration import BoxConfig, InstitutionConfig
from agent.config.control import Action, ControlConfig
from agent.faults.registry import FaultRegistry
from agent.incident.incident_heads import IncidentHeads
from agent.incident.incident_holds import IncidentHolds
from agent.incident.incident_pictures import IncidentPictures
from agent.incident.incident_rates import IncidentRates
from agent.incident.incident_stage import (
    IncidentEffects,
    IncidentReporter,
    IncidentStage,
    JobQueue,
)
from agent.incident.order import OrderReader, SignedOrder, parse_unsigned_order, permits_by
from agent.incident.record import IncidentStore
from agent.ptz import ptz_args
from agent.recording.custody.receipts import IncidentChanged
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.reporting.mqtt.packets import ReceivedPublish
from drivers.media import Frame
from tests.conftest import ManualClock
from tests.parts.command_rig import CommandRig

BOOT = "aaaaaaaa-1111-4111-8111-111111111111"
NEXT_BOOT = "bbbbbbbb-1111-4111-8111-111111111111"
BOX = BoxConfig(id="pole-17", site="Bd Zerktouni", groups=("south",))
TRAM = InstitutionConfig(owner="Casa Tramway", purpose="safety", viewers=("samira",))
PLANE = np.zeros((2, 2), np.uint8)
NS = 1_000_000_000
AN_HOUR = 3600.0


class IncidentBox:
    """A box with two cameras, one of them lent, and a head. `restart` makes another agent on the same state."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.clock = clock
        clock.now_ns = 3600 * NS
        self.boot = BOOT
        self.faults = FaultRegistry(clock.boottime_ns)
        (folder / "commands").mkdir()
        self.commands = CommandRig(folder / "commands", clock)
        self.head = self.commands.head
        self.events: list[Event] = []
        self.receipts: list[IncidentChanged] = []
        self.pictures: list[tuple[str, int]] = []
        self.rates: list[tuple[str, float | None]] = []
        self.cameras = {"north": CameraAccess(), "tram": CameraAccess(viewers=TRAM.viewers)}
        self.read_order: Callable[[bytes], SignedOrder] = parse_unsigned_order
        self.is_signed = False
        self.control = ControlConfig()
        self._ids = itertools.count(1)
        self.restart()

    def restart(self, boot: str = BOOT) -> None:
        self.boot = boot
        self.hold_store = HoldStore(self.folder / "holds", self.clock, boot, self._new_id)
        holds = IncidentHolds(
            self.hold_store,
            self.clock,
            boot,
            self._new_id,
            self.faults,
            {"north": None, "tram": TRAM},
            command_days=30,
            permits=self.permits,
        )
        self.store, self.jobs = IncidentStore(self.folder), JobQueue()
        self.stage = IncidentStage(
            BOX,
            self.clock,
            boot,
            self.store,
            self.jobs,
            OrderReader(
                lambda payload: self.read_order(payload),  # noqa: PLW0108 - a test replaces it
                is_signed=self.is_signed,
            ),
            IncidentEffects(
                holds=holds,
                heads=self._make_heads(),
                pictures=self._make_pictures(),
                rates=IncidentRates(
                    {"north": lambda fps: self._set_fps("north", fps), "tram": lambda _fps: False}
                ),
            ),
            IncidentReporter(
                new_event_id=self._new_id,
                publish_event=self.events.append,
                append_receipt=lambda receipt, _t_ns: self.receipts.append(receipt),
            ),
        )
        self.turn()

    def turn(self, after_s: float = 0.0) -> None:
        """Let time pass, and have the stage and the dispatcher do all that is due."""
        self.clock.advance_s(after_s)
        for _ in range(4):
            self.jobs.post(lambda: None)
            self.stage.run_once(None)  # type: ignore[arg-type] # there is a job
            self.commands.run_all()

    def order(
        self, incident: str = "i", revision: int = 1, *, retained: bool = False, **fields: Any
    ) -> None:
        """An order of the next hour, unless the fields say otherwise."""
        now = self.clock.utc(self.clock.now_ns)
        payload = {
            "id": incident,
            "revision": revision,
            "issued": rfc3339(now),
            "ends": rfc3339(now + timedelta(hours=1)),
            "by": "amina",
            "role": "incident",
            "to": {"boxes": ["pole-17"]},
            **fields,
        }
        self.send(incident, msgspec.json.encode(payload), retained=retained)

    def send(self, incident: str, payload: bytes, *, retained: bool = False) -> None:
        received = ReceivedPublish(topic="", payload=payload, retained=retained, properties=())
        self.stage.receive(incident, received)
        self.turn()

    def let_two_sign(self) -> None:
        """Each order from now on has a second signer."""
        read = self.read_order

        def read_two(payload: bytes) -> SignedOrder:
            signed = read(payload)
            second = Requester(id="youssef", role="operator")
            return msgspec.structs.replace(signed, signers=(*signed.signers, second))

        self.read_order = read_two

    def report(self) -> IncidentReport:
        report = self.events[-1].incident
        assert isinstance(report, IncidentReport)
        return report

    def outcome(self, part: str, of: str) -> IncidentOutcome:
        (found,) = [one for one in self.report().outcomes if (one.part, one.of) == (part, of)]
        return found

    def holds(self) -> list[Hold]:
        return list(self.hold_store.active())

    def lease(self) -> Requester | None:
        lease = self.head.state().lease
        return None if lease is None else lease.holder

    def offer(self, camera: str) -> None:
        """A frame of a camera."""
        frame = Frame(seq=0, t_ns=self.clock.now_ns, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])
        self.cameras[camera].next_frame.offer(frame)

    def _make_heads(self) -> IncidentHeads:
        return IncidentHeads(
            "pole-17",
            {"mast": "north"},
            self._run_command,
            lambda _head: self.lease(),
            self.store.note_sent,
            self.clock.boottime_ns,
            self.jobs.post,
            self.permits,
        )

    def _make_pictures(self) -> IncidentPictures:
        return IncidentPictures(
            self.cameras,
            lambda _frame, max_bytes: bytes(max_bytes),
            lambda camera, jpeg, _t_ns, _event: self.pictures.append((camera, len(jpeg))),
            self.clock.boottime_ns,
            self.jobs.post,
            self.permits,
        )

    def _run_command(
        self, requester: Requester, args: ptz_args.Args, on_reply: Callable[[Reply], None]
    ) -> None:
        self.commands.dispatcher.submit_own(
            "ptz",
            args,
            requester,
            command_id=f"command-{next(self._ids)}",
            via="test",
            send_reply=on_reply,
        )

    def permits(self, requester: Requester, action: Action, camera: str | None) -> bool:
        return permits_by(self.control)(requester, action, camera)

    def _set_fps(self, camera: str, fps: float | None) -> bool:
        self.rates.append((camera, fps))
        return True

    def _new_id(self, _t_ns: int) -> str:
        return f"019a4901-3c62-7d2a-9f0e-{next(self._ids):012x}"


@pytest.fixture
def box(tmp_path: Path, clock: ManualClock) -> Iterator[IncidentBox]:
    box = IncidentBox(tmp_path, clock)
    yield box
    box.commands.idempotency_store.close()


def changes(box: IncidentBox) -> list[tuple[str, str, str]]:
    return [(receipt.change, receipt.by, receipt.incident) for receipt in box.receipts]


def phases(box: IncidentBox) -> list[str]:
    return [event.phase for event in box.events]
