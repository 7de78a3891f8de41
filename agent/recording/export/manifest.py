"""What an export says of itself, and the names of what may be wrong with one. Pure.

An export is a folder. `manifest.json` names all of its files but three: itself, `receipts.chain`,
whose last receipt carries the manifest's SHA-256, and `SHA256SUMS`, which lists every file but
itself. So whoever changes a byte anywhere breaks a sum; whoever mends the sum breaks the manifest;
and whoever mends the manifest needs the box's key. docs/footage.md says it for people.
"""

from typing import Annotated, Literal

import msgspec

from agent.base.signed_manifest import SUMS_FILE, Sha256
from agent.recording.custody.receipts import Count, UtcText

MANIFEST_FILE = "manifest.json"
CHAIN_FILE = "receipts.chain"
CLIP_FILE = "clip.mp4"
SEGMENTS_DIR = "segments"
KEYS_DIR = "keys"
UNLISTED_FILES = (MANIFEST_FILE, CHAIN_FILE, SUMS_FILE)

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
    "exported",
    "segment",
    "clip",
]
"""The class of what is wrong with an export. Both verifiers look in this order, and name the first:

sums: SHA256SUMS is missing or malformed, or does not list exactly the files with their sums.
manifest: manifest.json is none, or does not name exactly the files with sizes and sums.
Then receipt for receipt, in the order of receipts.chain:
  receipt: a line is no receipt, or the file is missing, empty or does not end with a newline.
  box: the receipt is of another box than the manifest.
  signature: the manifest's public key did not sign these bytes.
  order: its number is not one more than that of the receipt before; the first one's is not the
  manifest's `first_seq`.
  link: its `prev` is not the hash of the receipt before.
  time: its `t_ns` is smaller than before in the same boot, or a boot comes back after another.
  key: it is a `started` that names another public key than the manifest; and, where the verifier
  was told the box's key, the manifest names another (looked at before the first receipt).
head: the manifest's chain head is not in the chain; nor is one that the verifier was told of,
where its number is within the chain.
exported: the last receipt is no `exported` of exactly this manifest, camera, span, person, purpose
and list of segments.
segment: a segment's file has no `closed` receipt of its camera, name, sum and size, or more than
one, or was evicted up to the manifest's head; one that is withheld was not to be masked at export; or
the chain closes, up to that head, a segment of the camera within the span that is neither there nor
withheld nor evicted anywhere in the chain. What came after the head came after the box had looked
which segments there are.
clip: the clip's segments are not among the export's, withheld ones included, or one is named twice;
it begins before the first of them; or it is longer than they last, one after the other from the clip's
begin on, with a pause where the next one's begin is later than the end of those before. A clock that
was set back between two of them makes no clip too long.
"""


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the export; `path` is relative to it, with `/`."""

    path: str
    sha256: Sha256
    size_bytes: Count


class ExportedClip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`clip.mp4`: the first picture's time, how long, and the segments that it was cut from; and
    whether masks were painted over it, for which it was encoded again.
    """

    begin_time: UtcText
    duration_ns: Count
    segments: tuple[str, ...]
    masked: bool


class ExportedChainHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head of the chain as the box was about to look which segments there are. What the box signs
    while it copies them says nothing of this export. Who changes it breaks the manifest's hash in the
    receipt `exported`.
    """

    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    sha256: Sha256


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`. `begin_time` to `end_time` is what was asked for; `public_key` is the base64
    of the raw 32 bytes; `receipts.chain` begins with number `first_seq`; `segments` are the names of the files in `segments/`, in the order of
    recording, `withheld` those whose files stay in the box because they show what masks hide:
    their receipts are there. `files` is sorted by path; `clip` is None where the footage is sealed and no key
    was at hand.
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
    first_seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    head: ExportedChainHead
    segments: tuple[str, ...]
    withheld: tuple[str, ...]
    clip: ExportedClip | None
    files: tuple[ExportedFile, ...]
