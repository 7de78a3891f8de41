"""A commissioning in hand: what the box found, and what the technician has answered so far."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.message import Message
from agent.capture.lens_aim import FocusBlocks
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.diagnostics.commissioning import photos
from agent.diagnostics.commissioning.certificate import (
    MAX_NOTE_CHARS,
    MAX_NOTES_CHARS,
    MAX_PHOTOS,
    MAX_SERIAL_CHARS,
    InstallationRecord,
    ItemAnswer,
    ItemKind,
    SerialNumber,
)
from agent.diagnostics.commissioning.photos import Photo
from agent.diagnostics.commissioning.session import CommissioningResult, CommissioningSession
from drivers.media import Plane


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A technician's verdict on the item of a number, with a note if it is not good."""

    id: int
    good: bool
    note: Annotated[str, msgspec.Meta(max_length=MAX_NOTE_CHARS)] | None = None


class Commissioning:
    """One commissioning, from the inspection to the signature. Used by one thread at a time.

    Its constructor inspects the box: that takes pictures, each with its receipt. Raises UserError.
    """

    def __init__(self, context: ConsoleContext, best_focus: Mapping[str, FocusBlocks]) -> None:
        self._session = CommissioningSession(context.config_path, context.clock, context.technician)
        self._inspection = self._session.inspect()
        self.items: tuple[tuple[ItemAnswer, Message], ...] = self._inspection.items(best_focus)
        """The items, numbered from 0, each with its finding."""
        self.photos: dict[int, Photo] = {}
        self.serials = _devices(self._inspection.record, _read_board_serial(context.root))
        """The serial numbers so far, "" for those that are not known: of the box, each camera and each head."""
        self.answers: Sequence[Answer] = ()
        self.notes = ""
        """The answers and the notes so far, as a phone has sent them."""
        self._next_photo = 1
        self._newest_request = ("", 0)

    def picture(self, camera: str, kind: ItemKind) -> Plane:
        """Return the picture of a camera's item: of its ground with the marks. Raises ConsoleError."""
        for item, _ in self.items:
            if (item.subject, item.item) == (camera, kind):
                plane = self._session.item_picture(self._inspection, item)
                if plane is not None:
                    return plane
        raise ConsoleError(Message("camera {camera}: no picture", camera=camera))

    def add_photo(self, data: bytes, title: str) -> int:
        """Add a photo, and return its number. Raises UserError if it is none, or one too many."""
        if len(self.photos) >= MAX_PHOTOS:
            raise ConsoleError(Message("photos: allowed: {max_photos}", max_photos=MAX_PHOTOS))
        number, self._next_photo = self._next_photo, self._next_photo + 1
        self.photos[number] = photos.read_photo(data, title)
        return number

    def remove_photo(self, number: int) -> None:
        """Remove a photo; one that is not there is removed already."""
        self.photos.pop(number, None)

    def note_request(self, page_id: str, number: int) -> bool:
        """Note a request to keep answers. Return False if a later one of the same page has overtaken it."""
        newest_page_id, newest_number = self._newest_request
        if page_id == newest_page_id and number < newest_number:
            return False
        self._newest_request = (page_id, number)
        return True

    def keep(self, answers: Sequence[Answer], notes: str, serials: Sequence[str]) -> None:
        """Keep the answers, notes and serial numbers so far, the latter in the order of the devices."""
        self.answers, self.notes = answers, notes
        self.serials = (
            *(
                msgspec.structs.replace(device, number=_clean(number, MAX_SERIAL_CHARS))
                for device, number in zip(self.serials, serials, strict=False)
            ),
            *self.serials[len(serials) :],
        )

    def sign(self) -> CommissioningResult:
        """Write the signed record of what was kept. Raises ConsoleError if an item has no answer; UserError."""
        given = {answer.id: answer for answer in self.answers}
        answered = []
        for number, (item, _) in enumerate(self.items):
            answer = given.get(number)
            if item.is_judged:
                answered.append(item)
            elif answer is None:
                raise ConsoleError(
                    Message("{item}: allowed: an answer, good or not", item=item.title)
                )
            else:
                note = _clean(answer.note or "", MAX_NOTE_CHARS) or None
                answered.append(msgspec.structs.replace(item, good=answer.good, note=note))
        return self._session.sign(
            self._inspection,
            answered,
            tuple(self.photos.values()),
            _clean(self.notes, MAX_NOTES_CHARS) or None,
            [serial for serial in self.serials if serial.number],
        )


def _devices(record: InstallationRecord, board_serial: str) -> tuple[SerialNumber, ...]:
    """Return the box, its cameras and its heads, with the serial number of the board."""
    return (
        SerialNumber(device="box", name=None, number=board_serial),
        *(SerialNumber(device="camera", name=one.name, number="") for one in record.cameras),
        *(SerialNumber(device="head", name=one.name, number="") for one in record.heads),
    )


def _read_board_serial(root: Path) -> str:
    """Return the serial number of the board from the device tree, or "" if there is none."""
    try:
        number = (root / "proc/device-tree/serial-number").read_text("utf-8", "replace")
    except OSError:
        return ""
    return _clean(number.rstrip("\0"), MAX_SERIAL_CHARS)


def _clean(text: str, max_chars: int) -> str:
    """Return printable text in lines, cut off."""
    lines = text.strip()[:max_chars].splitlines()
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines).strip()
