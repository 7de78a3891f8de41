"""What the hands are told of the rest of the box, and how what they do gets out of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from agent.base.model import Event, Reply, ShiftTolerance
from agent.capture.snapshot_command import CameraAccess, SnapshotSink
from agent.commands.command import CommandHandler
from agent.reporting.mqtt.connection import ReceivedCommand
from drivers.media import Frame


class MountedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """The camera that sits on a head, and who may see it. `on_rest` is told where it looks;
    `hidden`: its masks hide all but its presets. `drawn` names the scene of each of those, where
    masks do or nobody knows.
    """

    name: str
    access: CameraAccess
    on_rest: Callable[[str | None, bool, ShiftTolerance | None], None]
    is_masked: bool
    masked_presets: Mapping[str, str]


class ActuatorDeps(msgspec.Struct, frozen=True, kw_only=True):
    """What the hands need of the rest of the box.

    `cameras` are those that a picture may be asked of, `carried` the one on each head, by the head.
    `celsius` and `night`: see `Pins`; `encode`: see `SnapshotVerb`. `gallery` is where pictures go
    that somebody asked for. `reply` takes what is said to a command that came over MQTT. `tours_rest`
    tells that no tour is to turn a head now, because the box is under strain. `verbs` are those of
    other parts of the box.
    """

    state_dir: Path
    access_by_camera: Mapping[str, CameraAccess]
    mounted_cameras: Mapping[str, MountedCamera]
    new_id: Callable[[int], str]
    on_event: Callable[[Event], None]
    read_celsius: Callable[[], float | None]
    read_night_mode: Callable[[str], bool | None]
    encode_jpeg: Callable[[Frame, int], bytes]
    snapshot_sink: SnapshotSink
    send_reply: Callable[[Reply, ReceivedCommand], None]
    should_suspend_tours: Callable[[], bool] = lambda: False
    handlers: tuple[CommandHandler, ...] = ()
