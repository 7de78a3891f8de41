"""A box that keeps a film, to be cut off: says into a file what it has been promised, and when.

    recorder_child.py FILM FOLDER MARKS LIFE PACKETS

Each line of MARKS is written after the call that made the promise has returned:

    taken INDEX            all packets up to this one went through the recorder
    closed NAME            a segment was announced
    receipt SEQ SHA256     a receipt was appended
    hold ID BEGIN END      a hold was acknowledged; its span in milliseconds of the boot
    release ID             the release of a hold was acknowledged
    row EPOCH SEQ ID       a message's ticket was durable
    flight NUMBER          a page of the flight recorder was written
    faults CODE,...        the fault codes that are raised from here on, `-` for none
"""

import contextlib
import os
import sys
import threading
from pathlib import Path

from agent.base.errors import UserError
from agent.base.health_model import FlightSample
from agent.base.model import Event
from agent.health import flight_recorder
from agent.recording.custody import custody_log
from agent.recording.custody.receipts import Receipt, encode, receipt_hash
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.topics import OutgoingMessage, Priority
from drivers.camera.replay import Options, open_camera
from drivers.contracts import Wanted
from drivers.media import Packet
from tests.crash.film import LIFE_PACKETS, t_ns_of
from tests.crash.house import CAMERA, House

custody_log.RECEIPTS_PER_FILE = 40  # so that the chain goes from file to file within a run
flight_recorder.FLUSH_NS = 500_000_000  # so that its pages go round within one

EVENT_EVERY = 60
TURN_EVERY = 20


class Marks:
    """Where promises are said; each is one writev(2), a call that no test lets fail."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: object) -> None:
        os.writev(self._handle, [(" ".join(map(str, words)) + "\n").encode()])


class Happenings(threading.Thread):
    """Events: each is held, and told in a message, while the recorder goes on."""

    def __init__(self, house: House, marks: Marks) -> None:
        super().__init__()
        self._house = house
        self._marks = marks
        self._wanted = threading.Semaphore(0)
        self._over = False

    def happen(self) -> None:
        self._wanted.release()

    def end(self) -> None:
        self._over = True
        self._wanted.release()
        self.join()

    def run(self) -> None:
        number = 0
        before: list[str] = []
        while self._wanted.acquire() and not self._over:
            number += 1
            with contextlib.suppress(OSError, OutboxError):
                before.append(self._one())
                while len(before) > 2:
                    self._release(before[0])
                    before.pop(0)

    def _release(self, hold: str) -> None:
        try:
            self._house.holds.release(hold, by="crash", reason="enough")
        except UserError:
            return  # the ring could not carry it, and said so
        self._marks.say("release", hold)

    def _one(self) -> str:
        house = self._house
        begin_ns = house.clock.boottime_ns()
        event_id = house.new_id(begin_ns)
        for rev, phase in ((1, "begin"), (2, "end")):
            now_ns = house.clock.boottime_ns()
            event = Event(
                event=event_id,
                rev=rev,
                kind="wrong_way",
                phase=phase,  # type: ignore[arg-type] - the two words are phases
                camera=CAMERA,
                t_ns=now_ns,
                begin_ns=begin_ns,
            )
            span = house.event_holds.on_event(event)
            if span is not None and not house.faults.active():
                self._marks.say(
                    "hold", event_id, span.begin_ns // 1_000_000, span.end_ns // 1_000_000
                )
            priority = Priority.EMERGENCY if rev == 1 else Priority.EVENT
            draft = OutgoingMessage(
                topic=f"event/{CAMERA}/wrong_way",
                type="event",
                priority=priority,
                t_ns=now_ns,
                data=b'{"event":"%s","about":"%s"}' % (event_id.encode(), b"x" * 3000),
            )
            ticket = house.outbox.put(draft)
            if ticket.wait(60) and ticket.error is None:
                self._marks.say("row", house.outbox.epoch, ticket.seq, event_id)
        return event_id


def turn(house: House) -> None:
    """The keeper's turn. What a disk makes it raise, its thread takes as it takes it here."""
    with contextlib.suppress(OSError):
        house.keeper.enforce()


def fly(house: House, marks: Marks) -> None:
    """A moment of the flight recorder."""
    before = house.flight.newest
    house.flight.put(FlightSample(t_ns=house.clock.boottime_ns()))
    house.flight.look()
    if house.flight.newest > before:
        marks.say("flight", house.flight.newest)


def main(film: Path, folder: Path, marks_file: Path, life: int, how_many: int) -> None:
    """Record until so many packets are through; then wait to be killed."""
    marks = Marks(marks_file)
    faults = ""
    first = life * LIFE_PACKETS

    def on_receipt(receipt: Receipt) -> None:
        marks.say("receipt", receipt.seq, receipt_hash(encode(receipt)))

    house = House(
        folder,
        first,
        on_segment=lambda segment: marks.say("closed", Path(segment.path).name),
        on_receipt=on_receipt,
    )
    turn(house)
    happenings = Happenings(house, marks)
    happenings.start()
    options = Options(path=str(film), pace="fast", loop=True)
    camera = open_camera("film", options, Wanted(packets=True, frames_fps=0), lambda: 0)
    house.stage.stream_opened(camera.info)
    at_once = threading.Event()
    at_once.set()
    for index in range(first, first + how_many):
        packet = camera.read(1.0)
        assert isinstance(packet, Packet)
        house.clock.index = index
        house.queue.put(
            Packet(
                t_ns=t_ns_of(index),
                pts_ns=packet.pts_ns,
                dts_ns=packet.dts_ns,
                is_key=packet.is_key,
                data=packet.data,
            )
        )
        house.stage.run_once(at_once)
        now = ",".join(sorted({fault.code for fault in house.faults.active()})) or "-"
        if now != faults:
            faults = now
            marks.say("faults", faults)
        marks.say("taken", index)
        if index % EVENT_EVERY == EVENT_EVERY // 2:
            happenings.happen()
        if index % TURN_EVERY == 0:
            turn(house)
        fly(house, marks)
    happenings.end()
    os.writev(sys.stdout.fileno(), [b"through\n"])
    threading.Event().wait()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:6]))  # type: ignore[arg-type]
