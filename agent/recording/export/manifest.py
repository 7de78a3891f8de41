"""Manifest of an export, and the kinds of problems of an export. Pure.

An export is a folder. `manifest.json` lists all of its files but three: itself, `receipts.chain`,
whose last receipt has the manifest's SHA-256, and `SHA256SUMS`, which lists every file but itself. A
changed byte breaks a sum; a corrected sum breaks the manifest; a corrected manifest needs the box's
key. See docs/footage.md.
"""

from typing import Literal

import msgspec

from agent.base.sha256 import Sha256
from agent.base.signed_manifest import SUMS_FILE
from agent.recording.custody.receipts import Count, Seq, UtcText

MANIFEST_FILE = "manifest.json"
CHAIN_FILE = "receipts.chain"
CLIP_FILE = "clip.mp4"
SEGMENTS_DIR = "segments"
KEYS_DIR = "keys"
UNLISTED_FILES = (MANIFEST_FILE, CHAIN_FILE, SUMS_FILE)
FILE_MANAGER_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Names of the files that macOS and Windows leave in any folder that they show."""

ExportProblemKind = Literal[
    "sums",
    "manifest",
    "receipt",
    "box",
    "signature",
    "order",
    "link",
    "time",
    "key",
    "head",
    "arrival",
    "exported",
    "segment",
    "clip",
]
"""Kinds of problems of an export. Both verifiers check in this order and report the first one:

sums: SHA256SUMS is missing or malformed, or does not list exactly the files with their sums; or
manifest.json or receipts.chain are read again and differ. `FILE_MANAGER_FILES` that are not listed are
ignored.
manifest: manifest.json is invalid, or does not list exactly the files with their sizes and sums.
Then, for each receipt, in the order of receipts.chain:
  receipt: a line is not a receipt, or the file is missing, empty or does not end with a newline.
  box: the receipt is of another box than the manifest.
  signature: the manifest's public key did not sign these bytes.
  order: its number is not one more than that of the previous receipt; that of the first one is not
  the manifest's `first_seq`.
  link: its `prev_sha256` is not the hash of the previous receipt.
  time: its `t_ns` is less than before in the same boot, or a boot returns after another.
  key: it is a `started` with another public key than the manifest; or the verifier knows the box's
  key and the manifest has another (checked before the first receipt).
head: the manifest's chain head is not in the chain; or a known head of the verifier is not,
although its number is within the chain or that of the receipt before it. The lowest number is reported.
arrival: a receipt of a synchronised clock claims a time that is later, by more than its error and the tolerance of the
centre's clock, than the centre received a known head at or after it.
exported: the last receipt is not an `exported` of exactly this manifest, camera, span, requester,
purpose and list of segments.
segment: a segment's file has no `closed` receipt of its camera, name, sum and size, or more than
one, or was evicted up to the manifest's head; a withheld one was not to be masked at export; or the
chain closes, up to that head, a segment of the camera within the span that is neither present nor
withheld nor evicted anywhere in the chain. Later segments were closed after the box had listed them.
clip: the clip's segments are not among the export's, including withheld ones, or one is listed twice;
it begins before the first of them; or it is longer than they last, one after the other from the clip's
begin, with a pause if the next one begins after the end of those before. A clock that was set back
between two of them does not make a clip too long.
"""


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the export; `path` is relative to it, with `/`."""

    path: str
    sha256: Sha256
    size_bytes: Count


class ExportedClip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`clip.mp4`: the time of its first frame, its duration, and its segments.

    `masked`: masks were painted over it, so it was encoded again.
    """

    begin_time: UtcText
    duration_ns: Count
    segments: tuple[str, ...]
    masked: bool


class ExportedChainHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Head of the chain before the box listed the segments of the export.

    It is protected by the manifest's hash in the receipt `exported`.
    """

    seq: Seq
    sha256: Sha256


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`.

    `begin_time` to `end_time` is the requested span; `public_key` is base64. `receipts.chain`
    begins with number `first_seq`. `segments` are the names of the files in `segments/`, in the
    order of recording. `withheld` ones stay in the box because they show what masks hide; their
    receipts are in the chain. `clip` is None if the footage is sealed and no key was available.
    `files` is sorted by path.
    """

    v: Literal[1] = 1
    box: str
    camera: str
    begin_time: UtcText
    end_time: UtcText
    by: str
    purpose: str
    created_time: UtcText
    software: str
    public_key: str
    first_seq: Seq
    head: ExportedChainHead
    segments: tuple[str, ...]
    withheld: tuple[str, ...]
    clip: ExportedClip | None
    files: tuple[ExportedFile, ...]

    @property
    def all_segments(self) -> tuple[str, ...]:
        """The segments of the export, including those that stay in the box."""
        return (*self.segments, *self.withheld)
