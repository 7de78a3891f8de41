"""Presets: places that a head goes to by name, kept on the box.

heads/mast/presets.json    {"presets": [{"name": "gate", "pose": {...}, ...}]}
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base import state_file
from agent.commands.requester import CommandRejected
from agent.config.names import Name
from drivers.contracts import Pose

log = logging.getLogger(__name__)

MOST_PRESETS = 256


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A place with a name. `number` is its place in the head's own memory, None where it is not
    there. `stored_time` is RFC 3339, of the box's clock as it was.
    """

    name: Name
    pose: Pose
    number: int | None
    stored_time: str
    stored_by: str


class _File(msgspec.Struct, frozen=True):
    presets: tuple[Preset, ...]


class Presets:
    """The presets of one head. Any thread may call.

    Invariant: what is listed is on the disk.
    """

    def __init__(self, head: str, path: Path) -> None:
        self._head = head
        self._path = path
        self._lock = threading.Lock()
        self._by_name = {preset.name: preset for preset in _read(path)}

    def all(self) -> tuple[Preset, ...]:
        """Every preset, by name."""
        with self._lock:
            return tuple(preset for _, preset in sorted(self._by_name.items()))

    def get(self, name: str) -> Preset:
        """The preset of a name. Raises Refused `unknown`."""
        with self._lock:
            preset = self._by_name.get(name)
            if preset is None:
                known = ", ".join(sorted(self._by_name)) or "none yet"
                raise CommandRejected(
                    "unknown", f"head {self._head!r} has no preset {name!r}; it has: {known}"
                )
            return preset

    def find(self, name: str | None) -> Preset | None:
        """The preset of a name, None where there is none."""
        with self._lock:
            return None if name is None else self._by_name.get(name)

    def free_number(self, name: str, most: int) -> int | None:
        """The number of the head's own memory for a preset of this name: its own, or the smallest
        free one, None where all of 1 to `most` are taken.
        """
        with self._lock:
            own = self._by_name.get(name)
            if own is not None and own.number is not None and own.number <= most:
                return own.number
            taken = {preset.number for preset in self._by_name.values()}
        return next((number for number in range(1, most + 1) if number not in taken), None)

    def check(self, name: str) -> None:
        """Raise Refused where no preset may have this name (`malformed`), or none more may be kept
        (`failed`).
        """
        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError as error:
            raise CommandRejected(
                "malformed",
                f"preset {name!r}: allowed: lower case, digits, - and _, at most 63",
            ) from error
        with self._lock:
            self._check_room(name)

    def put(self, preset: Preset) -> None:
        """Keep a preset, in place of one of the same name. Raises Refused as `check`, and `failed`
        where the disk refuses.
        """
        self.check(preset.name)
        with self._lock:
            self._check_room(preset.name)
            self._keep({**self._by_name, preset.name: preset})

    def remember(self, preset: Preset, store: Callable[[int], None]) -> None:
        """Keep a preset that may be in the head's own memory too, and there first: `store` is given
        its number, and may raise Refused. So a head that refuses changes nothing. Raises Refused as
        `put`.
        """
        self.check(preset.name)
        if preset.number is None:
            self.put(preset)
            return
        store(preset.number)
        try:
            self.put(preset)
        except CommandRejected as error:
            also = f"the head itself has this place as its {preset.number} now"
            raise CommandRejected(error.kind, f"{error}; {also}") from error

    def delete(self, name: str) -> None:
        """Forget a preset. Raises Refused: `unknown`, and `failed` where the disk refuses."""
        self.get(name)
        with self._lock:
            self._keep({key: preset for key, preset in self._by_name.items() if key != name})

    def _check_room(self, name: str) -> None:
        if name not in self._by_name and len(self._by_name) >= MOST_PRESETS:
            raise CommandRejected(
                "failed", f"head {self._head!r} has {MOST_PRESETS} presets: delete one first"
            )

    def _keep(self, after: dict[str, Preset]) -> None:
        file = _File(presets=tuple(preset for _, preset in sorted(after.items())))
        try:
            state_file.keep(self._path, msgspec.json.encode(file))
        except OSError as error:
            raise CommandRejected(
                "failed", f"{self._path}: presets cannot be kept: {error}"
            ) from error
        self._by_name = after


def _read(path: Path) -> tuple[Preset, ...]:
    """What the file holds; a file that cannot be read is set aside, and there are none then."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).presets
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        log.error("%s: %s", path, error)
        state_file.set_aside(path)
        return ()
