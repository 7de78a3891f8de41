"""Presets: places that a head goes to by name, kept on the box.

heads/mast/presets.json    {"presets": [{"name": "gate", "pose": {...}, ...}]}
"""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base.state_file import StateFile
from agent.commands.requester import CommandRejected
from agent.config.names import Name
from drivers.contracts import Pose

MAX_PRESETS = 256


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A place with a name. `number` is its place in the head's own memory, None where it is not
    there. `stored_time` is RFC 3339, of the box's clock as it was.
    """

    name: Name
    pose: Pose
    number: int | None
    stored_time: str
    stored_by: str


class _PresetFile(msgspec.Struct, frozen=True):
    presets: tuple[Preset, ...]


class PresetStore:
    """The presets of one head. Any thread may call.

    Invariant: what is listed is on the disk.
    """

    def __init__(self, head_name: str, path: Path) -> None:
        self._head_name = head_name
        self._file = StateFile(path, _PresetFile)
        self._lock = threading.Lock()
        stored = self._file.load() or _PresetFile(presets=())
        self._by_name = {preset.name: preset for preset in stored.presets}

    def all(self) -> tuple[Preset, ...]:
        """Every preset, by name."""
        with self._lock:
            return tuple(preset for _, preset in sorted(self._by_name.items()))

    def get(self, name: str) -> Preset:
        """The preset of a name. Raises CommandRejected `unknown`."""
        with self._lock:
            preset = self._by_name.get(name)
            if preset is None:
                known = ", ".join(sorted(self._by_name)) or "none yet"
                raise CommandRejected(
                    "unknown", f"head {self._head_name!r} has no preset {name!r}; it has: {known}"
                )
            return preset

    def find(self, name: str | None) -> Preset | None:
        """The preset of a name, None where there is none."""
        with self._lock:
            return None if name is None else self._by_name.get(name)

    def free_number(self, name: str, max_number: int) -> int | None:
        """The number of the head's own memory for a preset of this name: its own, or the smallest
        free one, None where all of 1 to `most` are taken.
        """
        with self._lock:
            existing = self._by_name.get(name)
            if (
                existing is not None
                and existing.number is not None
                and existing.number <= max_number
            ):
                return existing.number
            used_numbers = {preset.number for preset in self._by_name.values()}
        return next(
            (number for number in range(1, max_number + 1) if number not in used_numbers), None
        )

    def check_name(self, name: str) -> None:
        """Raise CommandRejected where no preset may have this name (`malformed`), or none more may be kept
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
            self._check_capacity(name)

    def save(self, preset: Preset) -> None:
        """Keep a preset, in place of one of the same name. Raises CommandRejected as `check`, and `failed`
        where the disk refuses.
        """
        self.check_name(preset.name)
        with self._lock:
            self._check_capacity(preset.name)
            self._write({**self._by_name, preset.name: preset})

    def save_with_device(self, preset: Preset, store_on_device: Callable[[int], None]) -> None:
        """Keep a preset that may be in the head's own memory too, and there first: `store` is given
        its number, and may raise CommandRejected. So a head that refuses changes nothing. Raises CommandRejected as
        `put`.
        """
        self.check_name(preset.name)
        if preset.number is None:
            self.save(preset)
            return
        store_on_device(preset.number)
        try:
            self.save(preset)
        except CommandRejected as error:
            note = f"the head itself has this place as its {preset.number} now"
            raise CommandRejected(error.code, f"{error}; {note}") from error

    def delete(self, name: str) -> None:
        """Forget a preset. Raises CommandRejected: `unknown`, and `failed` where the disk refuses."""
        self.get(name)
        with self._lock:
            self._write({key: preset for key, preset in self._by_name.items() if key != name})

    def _check_capacity(self, name: str) -> None:
        if name not in self._by_name and len(self._by_name) >= MAX_PRESETS:
            raise CommandRejected(
                "failed", f"head {self._head_name!r} has {MAX_PRESETS} presets: delete one first"
            )

    def _write(self, presets: dict[str, Preset]) -> None:
        content = _PresetFile(presets=tuple(preset for _, preset in sorted(presets.items())))
        try:
            self._file.write(content)
        except OSError as error:
            raise CommandRejected(
                "failed", f"{self._file.path}: presets cannot be kept: {error}"
            ) from error
        self._by_name = presets
