"""Acts of a commissioning: inspect, photos, answers, signature; and the drift since the newest certificate."""

from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message, Text, message_of
from agent.base.signed_manifest import BadManifest
from agent.capture.jpeg import encode_jpeg
from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES
from agent.commands.command import NoArguments
from agent.config.names import Name
from agent.console import qr_code
from agent.console.acts.act import CHECK_S, LONG_S, ActCall, Done, Picture, act
from agent.console.acts.commissioning_draft import Answer, Commissioning
from agent.console.errors import ConsoleError
from agent.diagnostics.commissioning import certificate as record_files
from agent.diagnostics.commissioning.certificate import (
    MAX_NOTES_CHARS,
    MAX_SERIAL_CHARS,
    ItemKind,
    SerialNumber,
)
from agent.diagnostics.commissioning.items import iter_answers
from agent.diagnostics.commissioning.photos import MAX_TITLE_CHARS
from agent.diagnostics.commissioning.session import (
    CommissioningSession,
    format_comparison,
    format_result,
)

MAX_PHOTO_UPLOAD_BYTES = 12_000_000
MAX_ITEMS = 256
MAX_PAGE_ID_CHARS = 36


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


class KeepArgs(AnswersArgs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answers so far. `number` rises with each request of a page; `page_id` is another one whenever the page is loaded."""

    page_id: Annotated[str, msgspec.Meta(max_length=MAX_PAGE_ID_CHARS)]
    number: Annotated[int, msgspec.Meta(ge=0)]


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
def commission_begin(call: ActCall, _args: NoArguments) -> Draft:
    """Inspect the box; a commissioning that was begun before is dropped, with its photos."""
    commissioning = Commissioning(call.context, call.context.best_focus)
    call.state.commissioning = commissioning
    return _draft(commissioning)


@act(lane="work")
def commission_read(call: ActCall, _args: NoArguments) -> Draft | None:
    """Return the commissioning in hand, for a page that was loaded again, or None."""
    commissioning = call.state.commissioning
    return None if commissioning is None else _draft(commissioning)


@act(lane="work")
def commission_keep(call: ActCall, args: KeepArgs) -> Done:
    """Keep what was answered so far, until the signature or the end of the console's session."""
    commissioning = _require(call)
    if commissioning.note_request(args.page_id, args.number):
        commissioning.keep(args.answers, args.notes, args.serials)
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
def commission_compare(call: ActCall, _args: NoArguments) -> Report:
    """Compare the box with its newest certificate."""
    return Report(tuple(format_comparison(*_session(call).compare())))


@act(lane="work")
def certificate(call: ActCall, _args: NoArguments) -> CertificateValue:
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
