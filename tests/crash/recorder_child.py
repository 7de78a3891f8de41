"""A box that keeps a video, to be cut off: writes to a file each promise, when it was made.

    recorder_child.py VIDEO FOLDER MARKS LIFE PACKETS

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
from agent.recording.custody.receipts import Receipt, encode_receipt, receipt_hash
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.outgoing_messages import OutgoingMessage, Priority
from tests.crash.recording_box import CAMERA, RecordingBox
from tests.crash.video import LIFE_PACKETS

custody_log.RECEIPTS_PER_FILE = 40  # so that the chain goes from file to file within a run
flight_recorder.FLUSH_INTERVAL_NS = 500_000_000  # so that its pages go round within one

EVENT_EVERY = 60
RETENTION_EVERY = 20


class MarkWriter:
    """Writer of promises, each as one writev(2), a call that no test makes fail."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *fields: object) -> None:
        os.writev(self._handle, [(" ".join(map(str, fields)) + "\n").encode()])


class EventThread(threading.Thread):
    """Events: each is held and reported in a message while the recorder runs."""

    def __init__(self, box: RecordingBox, marks: MarkWriter) -> None:
        super().__init__()
        self._box = box
        self._marks = marks
        self._triggers = threading.Semaphore(0)
        self._is_stopping = False
        self._error: BaseException | None = None

    def trigger(self) -> None:
        self._triggers.release()

    def stop(self) -> None:
        self._is_stopping = True
        self._triggers.release()
        self.join()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            self._run_events()
        except BaseException as error:  # noqa: BLE001 - `stop` raises it again
            self._error = error

    def _run_events(self) -> None:
        number = 0
        held_events: list[str] = []
        while self._triggers.acquire() and not self._is_stopping:
            number += 1
            with contextlib.suppress(OSError, OutboxError):
                held_events.append(self._run_event())
                while len(held_events) > 2:
                    self._release(held_events[0])
                    held_events.pop(0)

    def _release(self, hold: str) -> None:
        try:
            self._box.holds.request_release(hold, by="crash", reason="enough")
        except UserError:
            return  # the ring could not keep it, and reported so
        self._marks.write("release", hold)

    def _run_event(self) -> str:
        box = self._box
        begin_ns = box.clock.boottime_ns()
        event_id = box.new_id(begin_ns)
        for rev, phase in ((1, "begin"), (2, "end")):
            now_ns = box.clock.boottime_ns()
            event = Event(
                event=event_id,
                rev=rev,
                kind="wrong_way",
                phase=phase,  # type: ignore[arg-type] - the two words are phases
                camera=CAMERA,
                t_ns=now_ns,
                begin_ns=begin_ns,
            )
            box.event_holds.on_event(event)
            hold = next((hold for hold in box.holds.all() if hold.id == event_id), None)
            if hold is not None and not box.faults.active():
                assert hold.begin_ns is not None
                assert hold.end_ns is not None
                self._marks.write(
                    "hold", event_id, hold.begin_ns // 1_000_000, hold.end_ns // 1_000_000
                )
            priority = Priority.EMERGENCY if rev == 1 else Priority.EVENT
            message = OutgoingMessage(
                topic=f"event/{CAMERA}/wrong_way",
                type="event",
                priority=priority,
                t_ns=now_ns,
                data=b'{"event":"%s","about":"%s"}' % (event_id.encode(), b"x" * 3000),
            )
            ticket = box.outbox.put(message)
            if ticket.wait(60) and ticket.error is None:
                self._marks.write("row", box.outbox.epoch, ticket.seq, event_id)
        return event_id


def run_retention(box: RecordingBox) -> None:
    """The keeper's turn. What a disk makes it raise, its thread takes as it takes it here."""
    with contextlib.suppress(OSError):
        box.retention.enforce()


def write_flight_sample(box: RecordingBox, marks: MarkWriter) -> None:
    """A moment of the flight recorder."""
    newest_before = box.flight_recorder.newest_number
    box.flight_recorder.add_sample(FlightSample(t_ns=box.clock.boottime_ns()))
    box.flight_recorder.flush_if_due()
    if box.flight_recorder.newest_number > newest_before:
        marks.write("flight", box.flight_recorder.newest_number)


def main(video: Path, folder: Path, marks_file: Path, life: int, packet_count: int) -> None:
    """Record until so many packets are through; then wait to be killed."""
    marks = MarkWriter(marks_file)
    faults = ""
    first = life * LIFE_PACKETS

    def on_receipt(receipt: Receipt) -> None:
        marks.write("receipt", receipt.seq, receipt_hash(encode_receipt(receipt)))

    box = RecordingBox(
        folder,
        first,
        on_segment=lambda segment: marks.write("closed", Path(segment.path).name),
        on_receipt=on_receipt,
    )
    run_retention(box)
    events = EventThread(box, marks)
    events.start()
    stopping = threading.Event()
    stopping.set()
    for index in box.feed(video, range(first, first + packet_count)):
        box.record_stage.run_once(stopping)
        fault_codes = ",".join(sorted({fault.code for fault in box.faults.active()})) or "-"
        if fault_codes != faults:
            faults = fault_codes
            marks.write("faults", faults)
        marks.write("taken", index)
        if index % EVENT_EVERY == EVENT_EVERY // 2:
            events.trigger()
        if index % RETENTION_EVERY == 0:
            run_retention(box)
        write_flight_sample(box, marks)
    events.stop()
    os.writev(sys.stdout.fileno(), [b"through\n"])
    threading.Event().wait()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:6]))  # type: ignore[arg-type]
