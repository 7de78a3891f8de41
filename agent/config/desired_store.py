"""The centre's configuration in the state folder: the version in force, the one before it, and the decisions.

    desired/layer.json            a state file: settings and scenes in force, on top of the box's own file
    desired/layer.json.before     those of the version before
    desired/layer.json.pending    the version is on trial, see commit_confirm.py
    desired/decision.json           a state file: the newest version that the box has decided about
    desired/restarts.json           a state file: when the agent has restarted for versions
    desired/scenes/<sha256>.toml    the texts of the scenes, by their hash
    desired/models/<sha256>/        a folder by the hash of a card: NAME.toml, and NAME.tflite once it is fetched

One file has all settings, scenes and cards of a version, so a power cut leaves the old or the new version. The files of
the scenes and cards are written before it, never change, and are written again from it if they are missing or damaged.
Those of a refused version are deleted after its refusal, scenes that no version needs when a trial begins, and all others
at the agent's start.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.base.atomic_file import replace_atomically
from agent.base.damaged_file import is_lost
from agent.base.file_read import read_regular_file
from agent.base.sha256 import sha256_hex
from agent.base.state_file import MAX_BYTES, DamagedStateFile, StateFile
from agent.base.state_inventory import StateInventory
from agent.config.commit_confirm import BACKUP_SUFFIX, CommitConfirm, PendingCommit, Rollback
from agent.config.desired_config import CardFiles, DesiredContent, SceneFiles, scene_key

log = logging.getLogger(__name__)

DESIRED_DIR = "desired"
_MODE = 0o644
MAX_RESTARTS, WINDOW_S = 3, 900
"""A box whose centre sends a version each second lost a fifth of its footage. The return to the version before never waits."""


class BoxScene(msgspec.Struct, frozen=True, kw_only=True):
    """A scene that the technician `by` has put in force at the box. `preset` is None for a camera on no head."""

    camera: str
    preset: str | None
    by: str
    since: str

    @property
    def key(self) -> str:
        """The scene in messages, such as `scenes.dome.gate`."""
        return scene_key(self.camera, self.preset)


class ConfigLayer(DesiredContent, frozen=True, kw_only=True):
    """A version of the centre's configuration. Version 0 is the box's own file alone.

    `digest` is the SHA-256 of the message, `since` the UTC of its beginning. `at_box` names the scenes that technicians
    have put in place of the version's, the newest last; the next version has none.
    """

    version: int = 0
    digest: str | None = None
    by: str | None = None
    since: str | None = None
    at_box: tuple[BoxScene, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version that the box has decided about. `reasons` are those of a refusal.

    `in_force` is the digest of the version that is in force all the same, or was before a reset: its message is known as
    well. `cameras` are those that were open when it was tried: they have to be open again.
    """

    version: int = 0
    digest: str | None = None
    in_force: str | None = None
    time: str = ""
    cameras: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class VersionRestarts(msgspec.Struct, frozen=True, kw_only=True):
    """The newest times at which the agent has restarted for versions, in one boot: each costs a second or two of footage."""

    boot: str = ""
    times_ns: tuple[int, ...] = ()

    def next_ns(self, boot: str) -> int:
        """Return the earliest time of the next restart for a version, 0 if there were few in this boot."""
        if self.boot != boot or len(self.times_ns) < MAX_RESTARTS:
            return 0
        return self.times_ns[-MAX_RESTARTS] + WINDOW_S * 10**9

    def with_one(self, boot: str, now_ns: int) -> "VersionRestarts":
        """Return the newest restarts of this boot, with one more."""
        earlier = self.times_ns if self.boot == boot else ()
        return VersionRestarts(boot=boot, times_ns=(*earlier, now_ns)[-MAX_RESTARTS:])


def layer_file(state_dir: Path) -> Path:
    """Return the file of the version in force."""
    return state_dir / DESIRED_DIR / "layer.json"


class DesiredStore:
    """The folder of one box. Not thread-safe, except for `layer`.

    With `scenes_dir` scenes are written there, so that a check alone leaves nothing in the state folder.
    """

    def __init__(self, state_dir: Path, scenes_dir: Path | None = None) -> None:
        self._folder = state_dir / DESIRED_DIR
        self._scenes_dir = scenes_dir or self._folder / "scenes"
        self._models_dir = self._folder / "models"
        self._checked_digest: str | None = None
        self._new_paths: set[Path] = set()
        """Scenes and folders of cards that were not there before the checks of this digest."""
        self._inventory = StateInventory(state_dir)
        self._layer = StateFile(
            layer_file(state_dir), ConfigLayer, shared=True, inventory=self._inventory
        )
        self._decision = StateFile(
            self._folder / "decision.json", Decision, shared=True, inventory=self._inventory
        )
        self._restarts = StateFile(self._folder / "restarts.json", VersionRestarts, shared=True)
        self._before_path = self._layer.path.with_name(self._layer.path.name + BACKUP_SUFFIX)
        self._commit_confirm = CommitConfirm(self._layer.path)

    def layer(self) -> ConfigLayer:
        """Return the version in force or on trial. Raises DamagedStateFile, also if it is missing."""
        layer = self._layer.read_strictly()
        if layer is None and (is_lost(self._layer.path) or self._before_path.exists()):
            # Found without the state inventory too, which may be lost with it.
            raise DamagedStateFile("missing, and not restored yet")
        return layer or ConfigLayer()

    def previous(self) -> ConfigLayer | None:
        """Return the version before it, or None if it cannot be read."""
        try:
            return self._layer.decode(read_regular_file(self._before_path, MAX_BYTES))
        except (OSError, ValueError):
            return None

    def decision(self) -> Decision:
        """Return the newest decision; a damaged one is set aside, and the version in force counts."""
        decision = self._decision.load()
        if decision is not None:
            return decision
        try:
            layer = self.layer()
        except DamagedStateFile:
            return Decision()
        return Decision(version=layer.version, digest=layer.digest, time=layer.since or "")

    def stored_digest(self) -> str | None:
        """Return the digest of the stored version's message, also if the version cannot be read; None if there is none."""
        try:
            return self.layer().digest
        except DamagedStateFile:
            decision = self.decision()
            return decision.in_force if decision.reasons else decision.digest

    def write_decision(self, decision: Decision) -> None:
        """Store a decision durably, and delete the new files of a version that it refuses. Raises OSError."""
        self._decision.write(decision)
        if decision.reasons:
            self.discard_new_files(decision.digest)

    def restarts(self) -> VersionRestarts:
        """Return the restarts for versions; a damaged file is set aside."""
        return self._restarts.load() or VersionRestarts()

    def write_restarts(self, restarts: VersionRestarts) -> None:
        """Store the restarts durably. Raises OSError."""
        self._restarts.write(restarts)

    def pending(self) -> PendingCommit | None:
        """Return the trial, or None. Raises OSError."""
        return self._commit_confirm.pending()

    def trial_technician(self) -> str | None:
        """Return the technician whose scene is on trial; None if a version of the centre is, or nothing. Raises OSError."""
        if self.pending() is None:
            return None
        try:
            layer = self.layer()
        except DamagedStateFile:
            return None
        before = self.previous() or ConfigLayer()
        return layer.at_box[-1].by if layer.at_box and layer.at_box != before.at_box else None

    def begin(self, layer: ConfigLayer, keys: str, by: str, boot_id: str, until_ns: int) -> None:
        """Put a version on trial until `until_ns`, and delete the scenes that neither it nor the one before needs.

        Raises: UserError if another one is on trial; OSError.
        """
        self.write_files(layer)
        if not self._layer.path.exists():
            self._write_before()
        data = self._layer.encode(layer)
        if self.pending() is None:
            self._inventory.begin_change(self._layer.path, data)
        self._commit_confirm.begin(data.decode(), keys, by, boot_id, until_ns)
        # No cards: those of a version whose models are fetched, or that waits for a restart, are still needed. Its scenes
        # are written again at its next check.
        with contextlib.suppress(OSError):
            self._remove_unused(layer, self._scenes_dir)

    def confirm(self, now_ns: int, boot_id: str) -> None:
        """Keep the version on trial. Raises: UserError if it is too late; OSError."""
        self._commit_confirm.confirm(now_ns, boot_id)
        self._end_change()

    def undo(self) -> Rollback | None:
        """Return to the version before. Raises OSError."""
        rollback = self._commit_confirm.undo()
        self._end_change()
        return rollback

    def reset(self, by: str, time: str) -> None:
        """Return to the box's file alone and to version 0, by a technician at an RFC 3339 time. Raises OSError.

        The message that was decided about last stays decided, and that of the version in force: the broker delivers one again.
        """
        decision = self.decision()
        if self._folder.is_dir():
            self.undo()
        in_force = self.stored_digest()
        self._layer.write(ConfigLayer())
        reasons = (f"reset at the box by {by}",)
        self.write_decision(
            Decision(digest=decision.digest, in_force=in_force, time=time, reasons=reasons)
        )

    def on_agent_start(self, now_ns: int, boot_id: str) -> Rollback | None:
        """Count a start with a version on trial, or end the trial, see `CommitConfirm`; mend scenes and cards.

        Raises OSError.
        """
        if not self._folder.is_dir():
            return None
        rollback = self._commit_confirm.on_agent_start(now_ns, boot_id)
        if self.pending() is None:
            self._end_change()
        try:
            layer = self.layer()
        except DamagedStateFile:
            return rollback
        self.write_files(layer)
        self._remove_unused(layer, self._scenes_dir, self._models_dir)
        return rollback

    def scene_files(self, layer: ConfigLayer) -> SceneFiles:
        """Return the paths of a version's scenes."""
        return {
            camera: str(self._scene_path(scene))
            if isinstance(scene, str)
            else {preset: str(self._scene_path(text)) for preset, text in scene.items()}
            for camera, scene in layer.scenes.items()
        }

    def card_files(self, layer: ConfigLayer) -> CardFiles:
        """Return the paths of the cards of a version's models. The model's file is next to its card."""
        return {name: str(self._card_path(name, one.card)) for name, one in layer.models.items()}

    def name_scenes(self, line: str, layer: ConfigLayer) -> str:
        """Replace the path of a scene's file in a message by its camera and preset."""
        for camera, scene in layer.scenes.items():
            named = {"": scene} if isinstance(scene, str) else scene
            for preset, text in named.items():
                line = line.replace(str(self._scene_path(text)), scene_key(camera, preset))
        return line

    def write_files(self, layer: ConfigLayer) -> None:
        """Write the files of a version's scenes and cards. Raises OSError."""
        if layer.digest != self._checked_digest:
            self._checked_digest, self._new_paths = layer.digest, set()
        texts = [(self._scene_path(text), text) for text in _texts(layer)]
        texts += [(self._card_path(name, one.card), one.card) for name, one in layer.models.items()]
        for path, text in texts:
            data = text.encode()
            try:
                if read_regular_file(path, MAX_BYTES) == data:
                    continue
            except OSError:
                entry = self._entry_of(path)
                if not entry.exists():
                    self._new_paths.add(entry)
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            replace_atomically(path, data, _MODE)

    def _end_change(self) -> None:
        """List the version in force alone. Nothing is on trial any more, so an error of the disk changes no outcome."""
        try:
            self._inventory.end_change(self._layer.path)
        except OSError as error:
            log.error("the state inventory allows two versions until the next start: %s", error)

    def discard_new_files(self, digest: str | None) -> None:
        """Delete the files that the checks of a refused version have added. Those of another version, which is in force, on
        trial, fetched or rehearsed, were there before or stay.
        """
        if digest != self._checked_digest:
            return
        # What stays is deleted at the next start.
        with contextlib.suppress(OSError, DamagedStateFile):
            for path in self._new_paths - self._used_paths(self.layer()):
                self._remove(path)
        self._new_paths = set()

    def _write_before(self) -> None:
        """Write what a rollback of the first version returns to, or of one that replaces a lost version: none."""
        try:
            self.layer()
        except DamagedStateFile:
            self._layer.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            replace_atomically(self._layer.path, b"", _MODE)
        else:
            self._layer.write(ConfigLayer())

    def _scene_path(self, text: str) -> Path:
        return self._scenes_dir / f"{sha256_hex(text.encode())}.toml"

    def _card_path(self, name: str, card: str) -> Path:
        return self._models_dir / sha256_hex(card.encode()) / f"{name}.toml"

    def _entry_of(self, path: Path) -> Path:
        """Return a scene's file, or the folder of a card."""
        return path if path.parent == self._scenes_dir else path.parent

    def _used_paths(self, layer: ConfigLayer) -> set[Path]:
        """Return the scenes and the folders of cards of a version and of the one before."""
        versions = (layer, self.previous() or ConfigLayer())
        used = {self._scene_path(text) for one in versions for text in _texts(one)}
        used |= {Path(card).parent for one in versions for card in self.card_files(one).values()}
        return used

    def _remove_unused(self, layer: ConfigLayer, *folders: Path) -> None:
        used = self._used_paths(layer)
        for folder in folders:
            for path in list(folder.iterdir()) if folder.is_dir() else ():
                if path not in used:
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        if path.is_dir():
            self._inventory.remove(*path.glob("*.tflite"))
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _texts(layer: ConfigLayer) -> Iterator[str]:
    for scene in layer.scenes.values():
        yield from (scene,) if isinstance(scene, str) else scene.values()
