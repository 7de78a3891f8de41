"""As-installed certificate: the state of a box that a technician accepted on site.

<state>/commissioned/<time>/
  record.json        the record, with the hashes of the pictures
  record.json.sig    the box's Ed25519 signature of its bytes, 64 bytes
  <camera>.png       the view of each camera: grey, without passers-by
  photo-1.jpg        photos of the installation, in the order of the record
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.base import atomic_file
from agent.base.health_model import GroundHealth
from agent.base.json_format import encode_indented
from agent.base.message import Message
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.signed_manifest import (
    BadManifest,
    check_signature,
    decode_manifest,
)
from agent.base.view_condition import ViewState
from agent.config.names import Name
from agent.config.recording import RECORDS_DIR

RECORD_FILE = "record.json"
SIGNATURE_FILE = "record.json.sig"
_MAX_FILE_BYTES = 4_000_000
MAX_PHOTOS = 12

ItemKind = Literal["aim", "focus", "masks", "ground", "head", "link", "clock"]
SHOWN_ITEMS: frozenset[ItemKind] = frozenset({"aim", "ground"})
"""Items that the technician judges by the picture."""


class ItemAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A finding on one item, and the technician's verdict in `good`: None if they were not asked.

    `subject` is the camera or the head.
    """

    item: ItemKind
    subject: str | None
    finding: str
    good: bool | None
    note: str | None = None

    @property
    def is_judged(self) -> bool:
        """True if the box judges alone: a focus, and a picture that is missing, dark, covered or moved from its marks."""
        is_unseen = self.item in SHOWN_ITEMS and self.good is False
        return is_unseen or (self.item == "focus" and self.good is not None)

    @property
    def title(self) -> Message:
        """The item and its subject."""
        item = _ITEM_TITLES[self.item]
        if self.subject is None:
            return item
        return Message("{item} of {subject}", item=item, subject=self.subject)


_ITEM_TITLES: Mapping[ItemKind, Message] = {
    "aim": Message("aim"),
    "focus": Message("focus"),
    "masks": Message("masks"),
    "ground": Message("ground"),
    "head": Message("head"),
    "link": Message("link"),
    "clock": Message("clock"),
}
ALLOWED_ANSWERS = "y, or n and a reason"
MAX_NOTE_CHARS = 200
MAX_NOTES_CHARS = 2000
MAX_SERIAL_CHARS = 64


def parse_answer(item: ItemAnswer, line: str) -> ItemAnswer | None:
    """Parse a technician's `y` or `n`, with a note, or return None if it is neither."""
    reply, _, note = line.strip().partition(" ")
    good = {"y": True, "yes": True, "n": False, "no": False}.get(reply.lower())
    if good is None:
        return None
    return msgspec.structs.replace(item, good=good, note=note.strip()[:MAX_NOTE_CHARS] or None)


class CameraRecord(msgspec.Struct, frozen=True, kw_only=True):
    """State of a camera. `picture` is None if it showed none, for the `reason`.

    `focus` is 0 to about 70, None if the view has no detail to focus on. `scenes` are the hashes of
    the scene files by preset, `""` for a fixed camera. `preset` is the preset of its head, `ground` the
    calibration of the scene there, None without one. `view` is the state of the view, None if there was no picture, and
    `sharpness` 0 to about 0.8, None if the picture has too few edges.
    """

    name: Name
    picture: Sha256 | None
    reason: str | None
    width_px: int
    height_px: int
    focus: float | None
    lean_deg: float | None
    exposure: str
    masks: int
    scenes: dict[str, Sha256]
    model: Sha256 | None
    preset: str | None
    ground: GroundHealth | None = None
    view: ViewState | None = None
    sharpness: float | None = None


class HeadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A head's presets: pan, tilt and zoom by name. None if it did not answer."""

    name: Name
    presets: dict[str, tuple[float, float, float]] | None


class PhotoRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A photo of the installation. The first one is in photo-1.jpg."""

    title: str
    sha256: Sha256
    width_px: int
    height_px: int


class SerialNumber(msgspec.Struct, frozen=True, kw_only=True):
    """The serial number of the box's board, a camera or a head. `name` is that of the camera or head."""

    device: Literal["box", "camera", "head"]
    name: Name | None
    number: Annotated[str, msgspec.Meta(max_length=MAX_SERIAL_CHARS)]


class InstallationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Installation record of a box. `created_time` is RFC 3339.

    `config` is the hash of the checked configuration; `connected`, `centre_listening` and
    `round_trip_ms` are of the link. `notes` are the technician's.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    box: str
    site: str
    created_time: str
    clock_synced: bool
    clock_source: str
    technician: str
    public_key: str
    version: str
    config: Sha256
    cameras: tuple[CameraRecord, ...]
    heads: tuple[HeadRecord, ...]
    connected: bool
    centre_listening: bool
    round_trip_ms: float | None
    faults: tuple[str, ...]
    answers: tuple[ItemAnswer, ...] = ()
    photos: Annotated[tuple[PhotoRecord, ...], msgspec.Meta(max_length=MAX_PHOTOS)] = ()
    notes: str | None = None
    serials: tuple[SerialNumber, ...] = ()

    @property
    def rejected_items(self) -> tuple[ItemAnswer, ...]:
        """The items that the technician rejected."""
        return tuple(item for item in self.answers if item.good is False)


def write_record(
    state_dir: Path,
    name: str,
    record: InstallationRecord,
    pictures: Mapping[str, bytes],
    sign: Callable[[bytes], bytes],
    photos: Sequence[bytes] = (),
) -> Path:
    """Write a record into the state folder, atomically. `photos` are those that it names. Raises OSError."""
    data = encode_indented(record)
    files = {RECORD_FILE: data, SIGNATURE_FILE: sign(data)}
    files |= {f"{camera}.png": picture for camera, picture in pictures.items()}
    files |= {photo_file(number): photo for number, photo in enumerate(photos, 1)}
    folder = state_dir / RECORDS_DIR
    temp_folder = folder / f".{name}.making"
    shutil.rmtree(temp_folder, ignore_errors=True)
    temp_folder.mkdir(parents=True)
    for file_name, content in files.items():
        atomic_file.create_durably(temp_folder / file_name, content, 0o666, apply_umask=True)
    atomic_file.fsync_dir(temp_folder)
    temp_folder.rename(folder / name)
    atomic_file.fsync_dir(folder)
    return folder / name


def photo_file(number: int) -> str:
    """Return the file of a photo, from 1 on."""
    return f"photo-{number}.jpg"


def find_newest(state_dir: Path) -> Path:
    """Return the folder of the newest record. Raises BadManifest if there is none."""
    found = sorted((state_dir / RECORDS_DIR).glob(f"*/{RECORD_FILE}"))
    found = [path for path in found if not path.parent.name.startswith(".")]
    if not found:
        raise BadManifest(RECORDS_DIR, "this box was never commissioned")
    return found[-1].parent


def read_verified(
    folder: Path, known_key: str | None = None
) -> tuple[InstallationRecord, dict[str, bytes]]:
    """Return the record of a folder and its pictures of cameras, verified, as its photos are. Raises BadManifest.

    `known_key` is the box's public key in base64: without it the record is only consistent.
    """
    data = _read_file(folder / RECORD_FILE)
    record = decode_manifest(RECORD_FILE, data, InstallationRecord)
    signature = _read_file(folder / SIGNATURE_FILE)
    check_signature(RECORD_FILE, data, signature, record.public_key, known_key)
    pictures: dict[str, bytes] = {}
    for camera in record.cameras:
        if camera.picture is None:
            continue
        picture = _read_file(folder / f"{camera.name}.png")
        if sha256_hex(picture) != camera.picture:
            raise BadManifest(f"{camera.name}.png", "was changed after it was made")
        pictures[camera.name] = picture
    for number in range(1, len(record.photos) + 1):
        read_photo(folder, record, number)
    return record, pictures


def read_photo(folder: Path, record: InstallationRecord, number: int) -> bytes:
    """Return a photo of a verified record, from 1 on. Raises BadManifest."""
    if not 1 <= number <= len(record.photos):
        raise BadManifest(photo_file(number), "the record names none")
    photo = _read_file(folder / photo_file(number))
    if sha256_hex(photo) != record.photos[number - 1].sha256:
        raise BadManifest(photo_file(number), "was changed after it was made")
    return photo


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadManifest(path.name, error.strerror or str(error)) from error
    if len(data) > _MAX_FILE_BYTES:
        raise BadManifest(path.name, f"is larger than {_MAX_FILE_BYTES} bytes")
    return data
