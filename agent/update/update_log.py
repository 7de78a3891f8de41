"""What was done to the system, by whom and when: root writes it, the agent's user makes receipts of it.

/state/rauc/story.jsonl    the newest entries, one on a line
"""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.base import atomic_file

NAME = "story.jsonl"
KEPT = 200
_MOST_BYTES = 262_144
_LONGEST = 300


class UpdateLogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `time` is RFC 3339, as the clock said."""

    id: str
    time: str
    by: str
    what: str


_ENTRY = msgspec.json.Decoder(UpdateLogEntry)


def read(folder: Path) -> tuple[UpdateLogEntry, ...]:
    """The entries, the oldest first; lines that are none are left out."""
    try:
        with (folder / NAME).open("rb") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            found.append(_ENTRY.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return tuple(found)


def add(folder: Path, by: str, what: str) -> None:
    """One more, durably. Raises OSError."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    entry = UpdateLogEntry(
        id=secrets.token_hex(8), time=now, by=by[:_LONGEST], what=what[:_LONGEST]
    )
    entries = (*read(folder), entry)[-KEPT:]
    data = b"".join(msgspec.json.encode(one) + b"\n" for one in entries)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_file.replace_atomically(folder / NAME, data, 0o644)


def after(entries: tuple[UpdateLogEntry, ...], seen: str) -> tuple[UpdateLogEntry, ...]:
    """Those behind the one with an id; all where it is not among them. Pure."""
    ids = [entry.id for entry in entries]
    return entries[ids.index(seen) + 1 :] if seen in ids else entries
