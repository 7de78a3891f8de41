"""Log of the actions on the system: `/state/rauc/update-log.jsonl`, the newest entries, one per line.

Root writes it; the agent's user writes custody receipts of it.
"""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.base import atomic_file
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson

FILE_NAME = "update-log.jsonl"
MAX_ENTRIES = 200
_MAX_BYTES = 262_144
_MAX_TEXT_LENGTH = 300


class UpdateLogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One action. `time` is RFC 3339, by the box's clock."""

    id: str
    time: str
    requester: str
    action: str


_ENTRY_DECODER = JsonDecoder(UpdateLogEntry)


def read_entries(folder: Path) -> tuple[UpdateLogEntry, ...]:
    """Read the entries, oldest first; malformed lines are skipped."""
    try:
        lines = read_regular_file(folder / FILE_NAME, _MAX_BYTES).splitlines()
    except OSError:
        return ()
    entries = []
    for line in lines:
        try:
            entries.append(_ENTRY_DECODER.decode(line))
        except MalformedJson:
            continue
    return tuple(entries)


def append_entry(folder: Path, requester: str, action: str) -> None:
    """Append an entry durably. Raises: OSError."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    entry = UpdateLogEntry(
        id=secrets.token_hex(8),
        time=now,
        requester=requester[:_MAX_TEXT_LENGTH],
        action=action[:_MAX_TEXT_LENGTH],
    )
    entries = (*read_entries(folder), entry)[-MAX_ENTRIES:]
    data = b"".join(msgspec.json.encode(kept_entry) + b"\n" for kept_entry in entries)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_file.replace_atomically(folder / FILE_NAME, data, 0o644)


def entries_after(entries: tuple[UpdateLogEntry, ...], last_id: str) -> tuple[UpdateLogEntry, ...]:
    """Return the entries after the one with `last_id`, or all if it is missing. Pure."""
    ids = [entry.id for entry in entries]
    return entries[ids.index(last_id) + 1 :] if last_id in ids else entries
