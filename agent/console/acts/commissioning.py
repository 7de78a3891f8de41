"""Acts of a commissioning: inspect, photos, answers, signature; and the drift since the newest certificate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message, Text, message_of
from agent.base.signed_manifest import BadManifest
from agent.capture.jpeg import encode_jpeg
from agent.capture.lens_aim import FocusBlocks
from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES
from agent.config.names import Name
from agent.console import qr_code
from agent.console.acts.act import CHECK_S, LONG_S, ActCall, Done, NoArgs, Picture, act
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.diagnostics.commissioning import certificate as record_files
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
from agent.diagnostics.commissioning.items import iter_answers
from agent.diagnostics.commissioning.photos import MAX_TITLE_CHARS, Photo
from agent.diagnostics.commissioning.session import (
    CommissioningResult,
    CommissioningSession,
    format_comparison,
    format_result,
)
from drivers.media import Plane

MAX_PHOTO_UPLOAD_BYTES = 12_000_000
MAX_ITEMS = 256


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


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An item to answer. `good` is the box's own verdict; `is_judged`: the technician gives none."""

    id: int
    item: ItemKind
    subject: str | None
    title: Text
    finding: Text
    good: bool | None
    is_judged: bool


class ItemPictureArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item of a camera: that of its ground has the marks in its picture."""

    camera: Name
    item: ItemKind = "aim"


class InspectedPicture(msgspec.Struct, frozen=True):
    """A camera of the inspection."""

    camera: str


class PhotoArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The title of a photo."""

    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE_CHARS)] = ""


class PhotoValue(msgspec.Struct, frozen=True, kw_only=True):
    """A photo of the commissioning."""

    photo: int
    title: str
    width_px: int
    height_px: int
    size_bytes: int


class PhotoList(msgspec.Struct, frozen=True):
    """The photos of the commissioning."""

    photos: tuple[PhotoValue, ...]


class PhotoNumberArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of a photo."""

    photo: int


class AnswersArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answers, which a signature needs to all items that are not judged, notes, and the serial numbers of the devices."""

    answers: Annotated[tuple[Answer, ...], msgspec.Meta(max_length=MAX_ITEMS)]
    notes: Annotated[str, msgspec.Meta(max_length=MAX_NOTES_CHARS)] = ""
    serials: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_SERIAL_CHARS)], ...],
        msgspec.Meta(max_length=MAX_ITEMS),
    ] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The commissioning in hand: its items, photos, and the answers, notes and serial numbers so far."""

    items: tuple[Item, ...]
    photos: tuple[PhotoValue, ...]
    answers: tuple[Answer, ...]
    notes: str
    serials: tuple[SerialNumber, ...]


class Report(msgspec.Struct, frozen=True):
    """The outcome in lines: a signed record, or the differences from the newest one."""

    lines: tuple[Text, ...]


class CertificateItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a certificate. `good` is None if it was not asked."""

    title: Text
    finding: Text
    good: bool | None
    note: str | None


class CertificateValue(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate to print. `time` is RFC 3339; `cameras` are those with a picture; `photos` are titles, from 1 on.

    `qr_rows` are the rows of modules, `1` if dark, of the label: the box's id and public key.
    """

    box: str
    site: str
    time: str
    technician: str
    version: str
    public_key: str
    serials: tuple[SerialNumber, ...]
    items: tuple[CertificateItem, ...]
    faults: tuple[str, ...]
    notes: str
    cameras: tuple[str, ...]
    photos: tuple[str, ...]
    qr_rows: tuple[str, ...]


@act(lane="work", needs="agent", typed="commission", timeout_s=LONG_S)
def commission_begin(call: ActCall, _args: NoArgs) -> Draft:
    """Inspect the box; a commissioning that was begun before is dropped, with its photos."""
    commissioning = Commissioning(call.context, call.context.best_focus)
    call.state.commissioning = commissioning
    return _draft(commissioning)


@act(lane="work")
def commission_read(call: ActCall, _args: NoArgs) -> Draft | None:
    """Return the commissioning in hand, for a page that was loaded again, or None."""
    commissioning = call.state.commissioning
    return None if commissioning is None else _draft(commissioning)


@act(lane="work")
def commission_keep(call: ActCall, args: AnswersArgs) -> Done:
    """Keep what was answered so far, until the signature or the end of the console's session."""
    _require(call).keep(args.answers, args.notes, args.serials)
    return Done()


def _draft(commissioning: Commissioning) -> Draft:
    return Draft(
        items=tuple(
            Item(
                id=number,
                item=item.item,
                subject=item.subject,
                title=item.title,
                finding=finding,
                good=item.good,
                is_judged=item.is_judged,
            )
            for number, (item, finding) in enumerate(commissioning.items)
        ),
        photos=tuple(_photos(commissioning).values()),
        answers=tuple(commissioning.answers),
        notes=commissioning.notes,
        serials=commissioning.serials,
    )


@act(lane="work")
def commission_picture(call: ActCall, args: ItemPictureArgs) -> Picture[InspectedPicture]:
    """Return the inspected picture of an item."""
    plane = _require(call).picture(args.camera, args.item)
    return Picture(encode_jpeg(plane, SNAPSHOT_MAX_BYTES), InspectedPicture(args.camera))


@act(
    lane="work",
    timeout_s=CHECK_S,
    upload_max_bytes=MAX_PHOTO_UPLOAD_BYTES,
    receipt="a photo of the installation is added",
)
def commission_photo(call: ActCall, args: PhotoArgs) -> PhotoValue:
    """Add a photo of the installation."""
    commissioning = _require(call)
    data = call.require_upload().read()
    number = commissioning.add_photo(data, args.title)
    return _photos(commissioning)[number]


@act(lane="work")
def commission_photo_read(call: ActCall, args: PhotoNumberArgs) -> Picture[PhotoValue]:
    """Return a photo of the commissioning in hand. Raises ConsoleError."""
    commissioning = _require(call)
    photo = commissioning.photos.get(args.photo)
    if photo is None:
        raise ConsoleError(Message("photo {number}: there is none", number=args.photo))
    return Picture(photo.jpeg, _photos(commissioning)[args.photo])


@act(lane="work")
def commission_photo_remove(call: ActCall, args: PhotoNumberArgs) -> PhotoList:
    """Remove a photo."""
    commissioning = _require(call)
    commissioning.remove_photo(args.photo)
    return PhotoList(tuple(_photos(commissioning).values()))


@act(lane="work", typed="commission", receipt="the as-installed certificate is signed")
def commission_sign(call: ActCall, args: AnswersArgs) -> Report:
    """Write the signed record, and end the commissioning."""
    commissioning = _require(call)
    commissioning.keep(args.answers, args.notes, args.serials)
    result = commissioning.sign()
    call.state.commissioning = None
    return Report(tuple(format_result(result)))


@act(lane="work", needs="agent", typed="commission compare", timeout_s=LONG_S)
def commission_compare(call: ActCall, _args: NoArgs) -> Report:
    """Compare the box with its newest certificate."""
    return Report(tuple(format_comparison(*_session(call).compare())))


@act(lane="work")
def certificate(call: ActCall, _args: NoArgs) -> CertificateValue:
    """Return the newest certificate, as it is printed. Raises UserError if none verifies."""
    _, record, pictures = _session(call).read_newest()
    return CertificateValue(
        box=record.box,
        site=record.site,
        time=record.created_time,
        technician=record.technician,
        version=record.version,
        public_key=record.public_key,
        serials=record.serials,
        items=tuple(
            CertificateItem(title=answer.title, finding=finding, good=answer.good, note=answer.note)
            for answer, finding in iter_answers(record)
        ),
        faults=record.faults,
        notes=record.notes or "",
        cameras=tuple(pictures),
        photos=tuple(photo.title for photo in record.photos),
        qr_rows=tuple(
            "".join(map(str, row))
            for row in qr_code.module_rows(f"{record.box} {record.public_key}")
        ),
    )


@act(lane="work")
def certificate_photo(call: ActCall, args: PhotoNumberArgs) -> Picture[PhotoValue]:
    """Return a photo of the newest certificate. Raises UserError if the record has none of that number."""
    folder, record, _ = _session(call).read_newest()
    try:
        jpeg = record_files.read_photo(folder, record, args.photo)
    except BadManifest as error:
        raise UserError(message_of(error)) from error
    photo = record.photos[args.photo - 1]
    return Picture(
        jpeg,
        PhotoValue(
            photo=args.photo,
            title=photo.title,
            width_px=photo.width_px,
            height_px=photo.height_px,
            size_bytes=len(jpeg),
        ),
    )


def _session(call: ActCall) -> CommissioningSession:
    context = call.context
    return CommissioningSession(context.config_path, context.clock, context.technician)


def _require(call: ActCall) -> Commissioning:
    if call.state.commissioning is None:
        raise ConsoleError(Message("no commissioning was begun; allowed: after commission_begin"))
    return call.state.commissioning


def _photos(commissioning: Commissioning) -> dict[int, PhotoValue]:
    return {
        number: PhotoValue(
            photo=number,
            title=photo.title,
            width_px=photo.width_px,
            height_px=photo.height_px,
            size_bytes=len(photo.jpeg),
        )
        for number, photo in commissioning.photos.items()
    }


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
