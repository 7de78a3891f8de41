"""Acts of a commissioning: inspect, photos, answers, signature; and the drift since the newest certificate."""

from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message, Text, message_of
from agent.base.signed_manifest import BadManifest
from agent.capture.jpeg import encode_jpeg
from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES
from agent.config.names import Name
from agent.console import qr_code
from agent.console.acts.commissioning import Answer, Commissioning
from agent.console.errors import ConsoleError
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import (
    MAX_NOTE_CHARS,
    MAX_NOTES_CHARS,
    MAX_SERIAL_CHARS,
    ItemKind,
    SerialNumber,
)
from agent.diagnostics.commissioning.drift import DRIFT_TITLES
from agent.diagnostics.commissioning.items import iter_answers
from agent.diagnostics.commissioning.photos import MAX_TITLE_CHARS
from agent.diagnostics.commissioning.session import (
    CommissioningSession,
    format_comparison,
    format_result,
)
from agent.pole_page.act import Act, ActCall, Done, NoArgs, Picture

MAX_ITEMS = 256


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


class AnswerArgs(Answer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer as it is sent."""

    note: Annotated[str, msgspec.Meta(max_length=MAX_NOTE_CHARS)] | None = None


class AnswersArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answers, which a signature needs to all items that are not judged, notes, and the serial numbers of the devices."""

    answers: Annotated[tuple[AnswerArgs, ...], msgspec.Meta(max_length=MAX_ITEMS)]
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


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is not good."""

    title: Text
    reason: str


class SignedValue(msgspec.Struct, frozen=True, kw_only=True):
    """The signed record."""

    folder: str
    public_key: str
    lines: tuple[Text, ...]
    rejected: tuple[Rejected, ...]


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference from the newest certificate."""

    kind: str
    title: Text
    subject: str | None
    message: Text
    is_actionable: bool


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


class DriftList(msgspec.Struct, frozen=True, kw_only=True):
    """All differences from the newest certificate."""

    time: str
    technician: str
    drifts: tuple[Drift, ...]
    lines: tuple[Text, ...]


def begin(call: ActCall, _args: NoArgs) -> Draft:
    """Inspect the box; a commissioning that was begun before is dropped, with its photos."""
    commissioning = Commissioning(call.context, call.context.best_focus)
    call.state.commissioning = commissioning
    return _draft(commissioning)


def read_draft(call: ActCall, _args: NoArgs) -> Draft | None:
    """Return the commissioning in hand, for a page that was loaded again, or None."""
    commissioning = call.state.commissioning
    return None if commissioning is None else _draft(commissioning)


def keep(call: ActCall, args: AnswersArgs) -> Done:
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


def read_picture(call: ActCall, args: ItemPictureArgs) -> Picture:
    """Return the inspected picture of an item."""
    plane = _require(call).picture(args.camera, args.item)
    return Picture(encode_jpeg(plane, SNAPSHOT_MAX_BYTES), InspectedPicture(args.camera))


def add_photo(call: ActCall, args: PhotoArgs) -> PhotoValue:
    """Add a photo."""
    commissioning = _require(call)
    data = call.require_upload().read()
    number = commissioning.add_photo(data, args.title)
    return _photos(commissioning)[number]


def read_photo(call: ActCall, args: PhotoNumberArgs) -> Picture:
    """Return a photo of the commissioning. Raises ConsoleError."""
    commissioning = _require(call)
    photo = commissioning.photos.get(args.photo)
    if photo is None:
        raise ConsoleError(Message("photo {number}: there is none", number=args.photo))
    return Picture(photo.jpeg, _photos(commissioning)[args.photo])


def remove_photo(call: ActCall, args: PhotoNumberArgs) -> PhotoList:
    """Remove a photo."""
    commissioning = _require(call)
    commissioning.remove_photo(args.photo)
    return PhotoList(tuple(_photos(commissioning).values()))


def sign(call: ActCall, args: AnswersArgs) -> SignedValue:
    """Write the signed record, and end the commissioning."""
    commissioning = _require(call)
    commissioning.keep(args.answers, args.notes, args.serials)
    result = commissioning.sign()
    call.state.commissioning = None
    return SignedValue(
        folder=str(result.folder),
        public_key=result.record.public_key,
        lines=tuple(format_result(result)),
        rejected=tuple(
            Rejected(title=item.title, reason=item.note or item.finding)
            for item in result.record.rejected_items
        ),
    )


def compare(call: ActCall, _args: NoArgs) -> DriftList:
    """Compare the box with its newest certificate."""
    record, drifts = _session(call).compare()
    return DriftList(
        time=record.created_time,
        technician=record.technician,
        drifts=tuple(
            Drift(
                kind=drift.kind,
                title=DRIFT_TITLES[drift.kind],
                subject=drift.subject,
                message=drift.message,
                is_actionable=drift.is_actionable,
            )
            for drift in drifts
        ),
        lines=tuple(format_comparison(record, drifts)),
    )


def read_certificate(call: ActCall, _args: NoArgs) -> CertificateValue:
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


def read_certificate_photo(call: ActCall, args: PhotoNumberArgs) -> Picture:
    """Return a photo of the newest certificate. Raises UserError if the record has none of that number."""
    folder, record, _ = _session(call).read_newest()
    try:
        jpeg = certificate.read_photo(folder, record, args.photo)
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


ACTS = {
    "commission_begin": Act(run=begin, lane="work"),
    "commission_read": Act(run=read_draft, lane="work"),
    "commission_keep": Act(run=keep, lane="work", args_type=AnswersArgs),
    "commission_picture": Act(run=read_picture, lane="work", args_type=ItemPictureArgs),
    "commission_photo": Act(
        run=add_photo,
        lane="work",
        args_type=PhotoArgs,
        receipt=lambda _call, _args: "a photo of the installation is added",
    ),
    "commission_photo_read": Act(run=read_photo, lane="work", args_type=PhotoNumberArgs),
    "commission_photo_remove": Act(run=remove_photo, lane="work", args_type=PhotoNumberArgs),
    "commission_sign": Act(
        run=sign,
        lane="work",
        args_type=AnswersArgs,
        receipt=lambda _call, _args: "the as-installed certificate is signed",
    ),
    "commission_compare": Act(run=compare, lane="work"),
    "certificate": Act(run=read_certificate, lane="work"),
    "certificate_photo": Act(run=read_certificate_photo, lane="work", args_type=PhotoNumberArgs),
}
