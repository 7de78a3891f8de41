"""Presets: named positions of a head, kept on the box.

heads/mast/presets.json    a state file: {"presets": [{"name": "gate", "pose": {...}, ...}]}
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from agent.base.state_file import StateFile
from agent.base.state_inventory import StateInventory
from agent.commands.requester import CommandRejected
from agent.config.names import ALLOWED_NAME, Name
from drivers.contracts import Pose

MAX_PRESETS = 256


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A named position.

    `number` is its place in the head's own memory, None if it is not stored there. `stored_time`
    is RFC 3339, of the box's clock at that time.
    """

    name: Name
    pose: Pose
    number: int | None
    stored_time: str
    stored_by: str


class _PresetFile(msgspec.Struct, frozen=True):
    presets: tuple[Preset, ...]


class PresetStore:
    """The presets of one head. Thread-safe.

    `fixed` are those of the centre's configuration: they count instead of stored ones of their names, and are neither
    set nor deleted.

    Invariant: a preset that is listed is on the disk.
    """

    def __init__(
        self,
        head_name: str,
        path: Path,
        fixed: Mapping[str, Preset] = MappingProxyType({}),
        inventory: StateInventory | None = None,
    ) -> None:
        self._head_name = head_name
        self._fixed = dict(fixed)
        label = f"{path.parent.name}/{path.name}"
        self._file = StateFile(path, _PresetFile, label=label, inventory=inventory)
        self._lock = threading.Lock()
        stored = self._file.load() or _PresetFile(presets=())
        self._by_name = {preset.name: preset for preset in stored.presets}

    def all(self) -> tuple[Preset, ...]:
        """Return every preset, in the order of their names."""
        with self._lock:
            return tuple(preset for _, preset in sorted({**self._by_name, **self._fixed}.items()))

    def stored_poses(self) -> dict[str, Pose]:
        """Return the pose of each preset that is stored, also under a fixed one."""
        with self._lock:
            return {name: preset.pose for name, preset in self._by_name.items()}

    def get(self, name: str) -> Preset:
        """Return the preset of a name. Raises: CommandRejected `unknown` if there is none."""
        preset = self.find(name)
        if preset is None:
            known = ", ".join(preset.name for preset in self.all()) or "none yet"
            raise CommandRejected(
                "unknown", f"head {self._head_name!r} has no preset {name!r}; it has: {known}"
            )
        return preset

    def find(self, name: str | None) -> Preset | None:
        """Return the preset of a name, or None if there is none."""
        with self._lock:
            return None if name is None else self._fixed.get(name) or self._by_name.get(name)

    def free_number(self, name: str, max_number: int) -> int | None:
        """Return the number in the head's memory for a preset of this name.

        Its own if it has one, otherwise the lowest free one of 1 to `max_number`, or None if all
        are taken.
        """
        existing = self.find(name)
        if existing is not None and existing.number is not None and existing.number <= max_number:
            return existing.number
        used_numbers = {preset.number for preset in self.all()}
        return next(
            (number for number in range(1, max_number + 1) if number not in used_numbers), None
        )

    def save(self, preset: Preset, store_on_device: Callable[[int], None] | None = None) -> None:
        """Save a preset, in place of one of the same name.

        A preset with a number is stored in the head's memory first, by `store_on_device`, so that
        a head that refuses changes nothing.

        Raises: CommandRejected `malformed` if the name is not allowed, `failed` if there are
        MAX_PRESETS or the disk refuses, `forbidden` if it is fixed, and as `store_on_device`.
        """
        self._check_name(preset.name)
        is_on_device = preset.number is not None and store_on_device is not None
        if preset.number is not None and store_on_device is not None:
            store_on_device(preset.number)
        try:
            with self._lock:
                self._check_capacity(preset.name)
                self._write({**self._by_name, preset.name: preset})
        except CommandRejected as error:
            if not is_on_device:
                raise
            note = f"the head itself has this position as its {preset.number} now"
            raise CommandRejected(error.code, f"{error}; {note}") from error

    def delete(self, name: str) -> None:
        """Delete a preset.

        Raises: CommandRejected `unknown`, `forbidden` if it is fixed, or `failed` if the disk refuses.
        """
        self.get(name)
        self._check_changeable(name)
        with self._lock:
            self._write({key: preset for key, preset in self._by_name.items() if key != name})

    def _check_name(self, name: str) -> None:
        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError as error:
            raise CommandRejected(
                "malformed",
                f"preset {name!r}: allowed: {ALLOWED_NAME}",
            ) from error
        self._check_changeable(name)
        with self._lock:
            self._check_capacity(name)

    def _check_changeable(self, name: str) -> None:
        if name in self._fixed:
            raise CommandRejected(
                "forbidden",
                f"head {self._head_name!r}: preset {name!r} is part of the centre's configuration; "
                "allowed: another name, or a configuration without it",
            )

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
                "failed", f"{self._file.path}: presets cannot be saved: {error}"
            ) from error
        self._by_name = presets
