"""The configuration that the agent starts with: its file, and the centre's on top of it if that fits."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, Text, map_values, message_of
from agent.base.state_file import DamagedStateFile
from agent.capture import camera_source
from agent.capture.camera_source import CameraSource
from agent.config import configuration, desired_config
from agent.config.configuration import BoxFile, Config
from agent.config.desired_config import DesiredPreset
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config.recording import MAX_AGE_DAYS, FootageRules
from agent.config_change import config_check, delivered_models
from agent.config_change.actuator_specs import ActuatorSpecs, load_actuator_specs
from agent.config_change.file_trial import FileTrial
from agent.config_change.state_folder import mend_modes, note_lost_version
from drivers.contracts import Pose

log = logging.getLogger(__name__)

_UNLIMITED_BYTES = 1 << 62


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


class RefusedVersion(UserError):
    """A version that does not fit the box. `problems` has a line for each key, which begins with it."""

    def __init__(self, problems: Iterable[Text]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems[0])


def load_start_config(path: Path, clock: Clock, boot: str) -> StartConfig:
    """Load a configuration for the agent's start; the trials that this start ends, of the file and of the version, are rolled back.

    Modes of the state folder are mended in between. A stored version that does not fit a changed file is left out; one on trial is rolled back. Raises: UserError if the
    file is wrong.
    """
    FileTrial(path, clock, boot).on_agent_start()
    file = configuration.read_file(path)
    base = file.decode()
    mended = mend_modes(Path(base.box.state))
    return msgspec.structs.replace(_load_start(file, base, clock, boot), mended=mended)


def _load_start(file: BoxFile, base: Config, clock: Clock, boot: str) -> StartConfig:
    store = DesiredStore(Path(base.box.state))
    note_lost_version(Path(base.box.state))
    try:
        store.on_agent_start(clock.boottime_ns(), boot)
    except OSError as error:
        log.error("the centre's configuration: %s", error)
    try:
        layer = store.layer()
    except DamagedStateFile as error:
        return _load_closed(file, base, clock, f"the centre's configuration is damaged: {error}")
    try:
        start = load_version(file, layer, store, clock)
        return msgspec.structs.replace(
            start, own_rules=base.footage_rules, rules_before=_rules_before_trial(file, base, store)
        )
    except UserError as error:
        if not layer.keys():
            raise
        log.error("the centre's configuration %d is not used: %s", layer.version, error)
        problems: tuple[Text, ...] = (message_of(error),)
        try:
            check_version(file, layer, store, clock)
        except RefusedVersion as refused:
            problems = refused.problems
        start = (
            _load_start(file, base, clock, boot)
            if _end_trial(store)
            else load_version(file, ConfigLayer(), store, clock)
        )
        return msgspec.structs.replace(start, refusal=tuple(map(str, problems)))


def _rules_before_trial(file: BoxFile, base: Config, store: DesiredStore) -> FootageRules | None:
    """Return the rules of footage before the version on trial, or None if none is on trial.

    If the version before does not fit the file, they are those of the file; if it cannot be read, the widest.
    """
    try:
        if store.pending() is None:
            return None
        previous = store.previous()
        if previous is None:
            return _widest_rules(base.footage_rules)
        return file.decode_with(previous, store).footage_rules
    except (OSError, UserError):
        return base.footage_rules


def _end_trial(store: DesiredStore) -> bool:
    """Roll back the version on trial. Return False if there is none."""
    try:
        return store.undo() is not None
    except OSError as error:
        log.error("the centre's configuration: %s", error)
        return False


def load_version(
    file: BoxFile, layer: ConfigLayer, store: DesiredStore, clock: Clock
) -> StartConfig:
    """Load a version that was checked before: a scene that cannot be loaded closes its camera alone. Raises: UserError."""
    config = file.decode_with(layer, store)
    sources = camera_source.build_sources(config, clock, file.label, on_bad_scene="close")
    specs = load_actuator_specs(config, clock, file.label)
    return StartConfig(
        config=config,
        sources=_with_proofs(sources, layer),
        specs=_with_presets(specs, layer),
        layer=layer,
    )


def check_version(
    file: BoxFile, layer: ConfigLayer, store: DesiredStore, clock: Clock
) -> StartConfig:
    """Return a version as the agent would start with it. The files of its scenes and cards are written, and stay if it is not refused.

    Raises: RefusedVersion; OSError.
    """
    try:
        return _check_version(file, layer, store, clock)
    except (RefusedVersion, OSError):
        store.discard_new_files(layer.digest)
        raise


def _check_version(
    file: BoxFile, layer: ConfigLayer, store: DesiredStore, clock: Clock
) -> StartConfig:
    if problems := tuple(desired_config.iter_refused_keys(file.tables, layer)):
        raise RefusedVersion(problems)
    store.write_files(layer)
    if problems := tuple(delivered_models.iter_refused(store.card_files(layer))):
        raise RefusedVersion(problems)
    merged, context = file.merge(layer, store), file.label
    config, mistakes = configuration.decode_valid_entries(merged, Config, context)
    checked = config_check.build(config, file.folder, clock, context)

    def name(value: str) -> str:
        line = value.removeprefix(f"{context}: ")
        return store.name_scenes(desired_config.name_entries(line, merged), layer)

    lines = (
        map_values(_without_file(line, context), name) for line in (*mistakes, *checked.problems)
    )
    refused = config_check.distinct(tuple(lines)) or tuple(
        delivered_models.iter_too_large(layer.models, store.card_files(layer), checked.config.link)
    )
    if refused:
        raise RefusedVersion(refused)
    return StartConfig(
        config=checked.config,
        sources=_with_proofs(checked.sources, layer),
        specs=_with_presets(checked.specs, layer),
        layer=layer,
    )


def _without_file(problem: Text, context: str) -> Text:
    """Return a problem without the file's name, which is the first label or the begin of one."""
    match problem:
        case Message(values={"label": str() as label, "problem": str() | Message() as rest}) if (
            label == context
        ):
            return rest
    return problem


def _with_proofs(sources: Iterable[CameraSource], layer: ConfigLayer) -> tuple[CameraSource, ...]:
    return tuple(
        msgspec.structs.replace(source, proof=layer.proofs.get(source.config.name))
        for source in sources
    )


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


def _load_closed(file: BoxFile, base: Config, clock: Clock, reason: str) -> StartConfig:
    sources = camera_source.build_sources(base, clock, file.label, on_bad_scene="close")
    return StartConfig(
        config=base,
        sources=tuple(msgspec.structs.replace(source, scene_error=reason) for source in sources),
        specs=load_actuator_specs(base, clock, file.label),
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
