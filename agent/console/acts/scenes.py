"""The scene of a camera at the pole: read, checked, and put on trial through the running agent."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message, Text, message_of
from agent.base.state_file import DamagedStateFile
from agent.config import configuration
from agent.config.desired_config import MAX_CONFIRM_S, MAX_SCENE_CHARS
from agent.config.desired_config import SceneText as SceneToml
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.scene_request import SceneRequest, SceneView
from agent.console.acts.act import ActCall, act
from agent.console.acts.trial import Trial, find_trial, send_request
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError

DEFAULT_MINUTES, MAX_MINUTES = 5, int(MAX_CONFIRM_S / 60)
SceneOrigin = Literal["box", "centre", "technician", "none"]


class SceneText(msgspec.Struct, frozen=True, kw_only=True):
    """The scene in force for a view, and where it comes from; `presets` are those of the camera that have a scene."""

    view: SceneView
    toml: str
    origin: SceneOrigin
    presets: tuple[str, ...]


class CheckSceneArgs(SceneView, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view and its new scene."""

    toml: SceneToml

    @property
    def view(self) -> SceneView:
        """The view alone."""
        return SceneView(camera=self.camera, preset=self.preset)


class TrySceneArgs(CheckSceneArgs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view, its new scene, and the time until it is undone by itself."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_MINUTES)] = DEFAULT_MINUTES


class Problems(msgspec.Struct, frozen=True):
    """The reasons why a scene would not be put in force."""

    problems: tuple[Text, ...]


@act(lane="status")
def scene(call: ActCall, view: SceneView) -> SceneText:
    """Return the scene in force for a view, and where it comes from."""
    context = call.context
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
    in_layer = layer.scenes.get(view.camera)
    is_in_layer = view.preset in in_layer if isinstance(in_layer, dict) else in_layer is not None
    origin: SceneOrigin = "centre" if is_in_layer else "none" if path is None else "box"
    if any((one.camera, one.preset) == (view.camera, view.preset) for one in layer.at_box):
        origin = "technician"
    return SceneText(view=view, toml=toml, origin=origin, presets=tuple(detect.scenes))


@act(lane="work")
def scene_check(call: ActCall, args: CheckSceneArgs) -> Problems:
    """Check a scene as the agent does."""
    # Imported here: all drivers and the detector come with it.
    from agent.config_change import scene_change, start_config  # noqa: PLC0415
    from agent.provisioning.settings import SHM_DIR, usable_shm_dir  # noqa: PLC0415 - as above

    context = call.context
    store = DesiredStore(context.state_dir)
    layer = _read_layer(context)
    try:
        file = configuration.read_file(context.config_path)
        current = start_config.load_version(file, layer, store, context.clock)
        new = scene_change.with_scene(
            layer, current.config, args.view, args.toml, context.technician, ""
        )
        # In memory if possible: a phone may check a scene many times a second, and no receipt is written of it.
        with tempfile.TemporaryDirectory(prefix="vigie-", dir=usable_shm_dir(SHM_DIR)) as folder:
            checking = DesiredStore(context.state_dir, scenes_dir=Path(folder))
            scene_change.check_scene(file, current, new, checking, context.clock)
    except start_config.RefusedVersion as refused:
        return Problems(refused.problems)
    except UserError as error:
        return Problems((message_of(error),))
    return Problems(())


@act(lane="work", needs="agent", receipt="{args.key}: on trial for {args.minutes} minutes")
def scene_try(call: ActCall, args: TrySceneArgs) -> Trial | None:
    """Put a scene in force until it is confirmed, undone or the time has passed."""
    request = SceneRequest(
        do="try",
        by=call.context.technician,
        view=args.view,
        toml=args.toml,
        confirm_s=args.minutes * 60.0,
    )
    send_request(call.context, request)
    return find_trial(call.context)


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
