"""The configuration that the agent starts with: its file, and the centre's on top of it if that fits."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.base.damaged_file import is_lost, note_lost
from agent.base.errors import UserError
from agent.base.message import message_of
from agent.base.state_file import DamagedStateFile
from agent.base.state_inventory import StateInventory
from agent.capture import camera_source
from agent.capture.camera_source import CameraSource
from agent.config import configuration
from agent.config.configuration import Config
from agent.config.desired_config import DesiredPreset
from agent.config.desired_store import ConfigLayer, DesiredStore, layer_file
from agent.config.recording import MAX_AGE_DAYS, FootageRules
from agent.config_change import config_check
from agent.config_change.actuator_specs import ActuatorSpecs, load_actuator_specs
from agent.config_change.state_folder import mend_modes
from agent.recording.custody.chain_files import chain_files, read_lines_backwards
from agent.recording.custody.receipts import AgentStarted, ReceiptBody, ServiceAction, parse_line
from drivers.contracts import Pose

log = logging.getLogger(__name__)

_UNLIMITED_BYTES = 1 << 62

STORED_VERSION = "configuration"
"""The key of the stored version in `AgentStarted.versions`; absent if none sets anything."""

_STORED_ACTION = re.compile(r"configuration \d+: (on trial|in force)")
_CUSTODY_DIR = "custody"


def note_lost_version(state_dir: Path) -> None:
    """Note the loss of the centre's version that was lost together with the state inventory, which would miss it.

    The custody log shows whether a version was stored: the receipt of each start names it, and a receipt of each change.
    If it was, or if the log cannot tell, the version counts as lost, and the cameras are closed until another one is in
    force or a technician resets it. A box without a custody log is a new one: nothing else is certain to be of an
    earlier run.
    """
    layer = layer_file(state_dir)
    if os.path.lexists(layer) or is_lost(layer) or StateInventory(state_dir).is_readable():
        return
    try:
        if (reason := _find_loss(state_dir)) is not None:
            note_lost([layer], f"missing with the state inventory: {reason}")
    except OSError as error:
        log.error("the centre's configuration: %s", error)


def _find_loss(state_dir: Path) -> str | None:
    """Return how the state shows that a version was stored, or that it may have been; None if none was. Raises OSError."""
    folder = state_dir / _CUSTODY_DIR
    files = chain_files(folder)
    for body in _bodies_backwards(folder):
        match body:
            case None:
                return "the custody log is damaged"
            case AgentStarted():
                version = body.versions.get(STORED_VERSION)
                return None if version is None else f"version {version} was stored at a start"
            case ServiceAction() if _STORED_ACTION.match(body.action):
                return f"the custody log has {body.action!r}"
    if not files:
        return None
    # The inventory is made before the first receipt: a log without one was emptied, or pruned.
    return "the custody log shows no start"


def _bodies_backwards(folder: Path) -> Iterator[ReceiptBody | None]:
    """Yield the bodies of a chain's receipts, the newest first; None for a line that is none."""
    for line in read_lines_backwards(folder):
        try:
            yield parse_line(line).receipt.body
        except ValueError:
            yield None


class StartConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force, its cameras and actuators, and the centre's version in it.

    `own_rules` are the rules of footage of the box's file alone. `rules_before` count until a trial ends: those before a
    version that was on trial at this start, and the widest if the version cannot be read; None otherwise. `layer` is None if the version cannot be read: then each camera is closed, because its masks are not known.
    `refusal` has a line for each reason why the version that is stored does not count, and `mended` one for each mode of
    the state folder that kept the agent out.
    """

    config: Config
    sources: tuple[CameraSource, ...]
    specs: ActuatorSpecs = ActuatorSpecs()
    layer: ConfigLayer | None = ConfigLayer()
    refusal: tuple[str, ...] = ()
    own_rules: FootageRules | None = None
    rules_before: FootageRules | None = None
    mended: tuple[str, ...] = ()

    @property
    def presets(self) -> Mapping[str, Mapping[str, DesiredPreset]]:
        """The presets of the centre's version, by head."""
        return {} if self.layer is None else self.layer.presets


def load_start_config(path: Path, clock: Clock, boot: str) -> StartConfig:
    """Load a configuration for the agent's start; a trial that this start ends is rolled back first.

    Before that, modes of the state folder are mended. A stored version that does not fit a changed file is left out; one on trial is rolled back. Raises: UserError if the
    file is wrong.
    """
    base = configuration.load_base(path)
    mended = mend_modes(Path(base.box.state))
    return msgspec.structs.replace(_load_start(base, path, clock, boot), mended=mended)


def _load_start(base: Config, path: Path, clock: Clock, boot: str) -> StartConfig:
    store = DesiredStore(Path(base.box.state))
    note_lost_version(Path(base.box.state))
    try:
        store.on_agent_start(clock.boottime_ns(), boot)
    except OSError as error:
        log.error("the centre's configuration: %s", error)
    try:
        layer = store.layer()
    except DamagedStateFile as error:
        return _load_closed(base, path, clock, f"the centre's configuration is damaged: {error}")
    try:
        start = load_with(path, layer, store, clock)
        return msgspec.structs.replace(
            start, own_rules=base.footage_rules, rules_before=_rules_before_trial(path, base, store)
        )
    except UserError as error:
        if not layer.keys():
            raise
        log.error("the centre's configuration %d is not used: %s", layer.version, error)
        refusal = config_check.find_layer_problems(path, layer, store, clock)
        start = (
            _load_start(base, path, clock, boot)
            if _end_trial(store)
            else load_with(path, ConfigLayer(), store, clock)
        )
        return msgspec.structs.replace(
            start, refusal=tuple(map(str, refusal or [message_of(error)]))
        )


def _rules_before_trial(path: Path, base: Config, store: DesiredStore) -> FootageRules | None:
    """Return the rules of footage before the version on trial, or None if none is on trial.

    If the version before does not fit the file, they are those of the file; if it cannot be read, the widest.
    """
    try:
        if store.pending() is None:
            return None
        previous = store.previous()
        if previous is None:
            return _widest_rules(base.footage_rules)
        return configuration.load_with(path, previous, store).footage_rules
    except (OSError, UserError):
        return base.footage_rules


def _end_trial(store: DesiredStore) -> bool:
    """Roll back the version on trial. Return False if there is none."""
    try:
        return store.undo() is not None
    except OSError as error:
        log.error("the centre's configuration: %s", error)
        return False


def load_with(path: Path, layer: ConfigLayer, store: DesiredStore, clock: Clock) -> StartConfig:
    """Load a configuration with a version of the centre's. Raises: UserError."""
    config = configuration.load_with(path, layer, store)
    sources = camera_source.build_sources(config, clock, str(path), on_bad_scene="close")
    specs = _with_presets(load_actuator_specs(config, clock, str(path)), layer)
    return StartConfig(config=config, sources=sources, specs=specs, layer=layer)


def _with_presets(specs: ActuatorSpecs, layer: ConfigLayer) -> ActuatorSpecs:
    if not layer.presets:
        return specs
    # Imported here: most boxes have no head.
    from agent.ptz.preset_store import Preset  # noqa: PLC0415

    def presets_of(head: str) -> dict[str, Preset]:
        return {
            name: Preset(
                name=name,
                pose=to_pose(preset),
                number=None,
                stored_time=layer.since or "",
                stored_by=layer.by or "",
            )
            for name, preset in layer.presets.get(head, {}).items()
        }

    heads = tuple(
        msgspec.structs.replace(spec, presets=presets_of(spec.config.name)) for spec in specs.heads
    )
    return msgspec.structs.replace(specs, heads=heads)


def to_pose(preset: DesiredPreset) -> Pose:
    """Return the pose of a preset."""
    return Pose(pan_deg=preset.pan_deg, tilt_deg=preset.tilt_deg, zoom=preset.zoom)


def _load_closed(base: Config, path: Path, clock: Clock, reason: str) -> StartConfig:
    sources: Sequence[CameraSource] = camera_source.build_sources(
        base, clock, str(path), on_bad_scene="close"
    )
    return StartConfig(
        config=base,
        sources=tuple(msgspec.structs.replace(source, scene_error=reason) for source in sources),
        specs=load_actuator_specs(base, clock, str(path)),
        layer=None,
        refusal=(reason,),
        own_rules=base.footage_rules,
        rules_before=_widest_rules(base.footage_rules),
    )


def _widest_rules(own: FootageRules) -> FootageRules:
    """Return rules that evict nothing that an unknown version may keep. They count until a trial ends."""
    record = msgspec.structs.replace(
        own.record,
        max_bytes=_UNLIMITED_BYTES,
        box_max_bytes=_UNLIMITED_BYTES,
        max_age_h=MAX_AGE_DAYS * 24.0,
    )
    return msgspec.structs.replace(own, record=record)
