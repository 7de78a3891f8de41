"""The scene of a camera at the pole: read, checked, and put on trial through the running agent."""

from pathlib import Path
from typing import Literal

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message, Text, message_of
from agent.base.model import CommandRefused
from agent.base.state_file import DamagedStateFile
from agent.config import configuration
from agent.config.desired_config import MAX_SCENE_CHARS
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.scene_request import SceneDone, SceneRequest, SceneView
from agent.console.context import ConsoleContext
from agent.console.errors import AgentDown, ConsoleError
from agent.runtime import control_client
from drivers.local_wire import MessageDecoder

REPLY_TIMEOUT_S = 30.0
_REPLY_DECODER: MessageDecoder[SceneDone | CommandRefused] = MessageDecoder(
    SceneDone | CommandRefused
)

SceneOrigin = Literal["box", "centre", "technician", "none"]


class SceneText(msgspec.Struct, frozen=True, kw_only=True):
    """The scene in force for a view, and where it comes from; `presets` are those of the camera that have a scene."""

    view: SceneView
    toml: str
    origin: SceneOrigin
    presets: tuple[str, ...]


def read_scene(context: ConsoleContext, view: SceneView) -> SceneText:
    """Return the scene in force for a view; it needs no running agent. Raises ConsoleError, UserError or OSError."""
    config = configuration.load(context.config_path)
    camera = next((one for one in config.camera if one.name == view.camera), None)
    if camera is None:
        raise ConsoleError(
            Message(
                "{kind} {given!r}: no such {kind}; allowed: {names}",
                kind=Message("camera"),
                given=view.camera,
                names=", ".join(one.name for one in config.camera),
            )
        )
    detect = camera.detect
    path = detect.scene if view.preset is None else detect.scenes.get(view.preset)
    toml = "" if path is None else _read_text(Path(path))
    layer = _read_layer(context)
    scene = layer.scenes.get(view.camera)
    is_in_layer = view.preset in scene if isinstance(scene, dict) else scene is not None
    origin: SceneOrigin = "centre" if is_in_layer else "none" if path is None else "box"
    if any((one.camera, one.preset) == (view.camera, view.preset) for one in layer.at_box):
        origin = "technician"
    return SceneText(view=view, toml=toml, origin=origin, presets=tuple(detect.scenes))


def find_scene_problems(context: ConsoleContext, view: SceneView, toml: str) -> tuple[Text, ...]:
    """Return a line for each reason why the agent would not put a scene in force. Raises UserError or OSError."""
    # Imported here: all drivers and the detector come with it.
    from agent.config_change import scene_change, start_config  # noqa: PLC0415

    store = DesiredStore(context.state_dir)
    layer = _read_layer(context)
    try:
        current = start_config.load_with(context.config_path, layer, store, context.clock)
        new = scene_change.with_scene(layer, current.config, view, toml, context.technician, "")
        problems = scene_change.find_scene_problems(
            context.config_path, current, new, store, context.clock
        )
    except UserError as error:
        return (message_of(error),)
    return tuple(problems)


def try_scene(context: ConsoleContext, view: SceneView, toml: str, confirm_s: float) -> SceneDone:
    """Put a scene on trial: in force at once, undone by itself after `confirm_s`. Raises ConsoleError."""
    request = SceneRequest(
        do="try", by=context.technician, view=view, toml=toml, confirm_s=confirm_s
    )
    return send_request(context, request)


def send_request(context: ConsoleContext, request: SceneRequest) -> SceneDone:
    """Have the running agent do a request. Raises ConsoleError if it refuses or does not run, UserError."""
    replies = control_client.call(context.state_dir, request, _REPLY_DECODER, REPLY_TIMEOUT_S)
    reply = None if replies is None else next(replies)
    if reply is None:
        raise AgentDown(Message("the agent does not run: see check 5"))
    if isinstance(reply, CommandRefused):
        raise ConsoleError(
            Message("refused ({code}): {reason}", code=reply.code, reason=reply.message)
        )
    return reply


def _read_layer(context: ConsoleContext) -> ConfigLayer:
    try:
        return DesiredStore(context.state_dir).layer()
    except DamagedStateFile as error:
        raise ConsoleError(
            Message("The centre's configuration on top of the file is damaged.")
        ) from error


def _read_text(path: Path) -> str:
    data = read_regular_file(path, MAX_SCENE_CHARS * 4)
    return data.decode("utf-8", "replace")
