"""The method `scene` of the control socket: a technician puts a scene on trial, confirms it or undoes it."""

from typing import Annotated, Literal

import msgspec

from agent.commands.command import RequesterId
from agent.config.desired_config import MAX_CONFIRM_S, MIN_CONFIRM_S, SceneText, scene_key
from agent.config.names import Name


class SceneView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A camera or, if it is on a head, one of its presets: a view that a scene is drawn for."""

    camera: Name
    preset: Name | None = None

    @property
    def key(self) -> str:
        """The view in messages, such as `scenes.dome.gate`."""
        return scene_key(self.camera, self.preset)


class SceneRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="method",
    tag="scene",
):
    """A request of the technician `by`. `view` and `toml` are those of `try`.

    try      put the scene in force, until it is confirmed, undone or `confirm_s` have passed
    confirm  keep the scene on trial
    undo     put the scene before it in force again
    """

    do: Literal["try", "confirm", "undo"]
    by: RequesterId
    view: SceneView | None = None
    toml: SceneText = ""
    confirm_s: Annotated[float, msgspec.Meta(ge=MIN_CONFIRM_S, le=MAX_CONFIRM_S)] = 300.0


class SceneDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="done"):
    """The request was done. `restarts`: the agent restarts for it."""

    restarts: bool
