"""Acts on scenes: read, checked, and put on trial; a change on trial is confirmed or undone."""

from typing import Annotated

import msgspec

from agent.base.message import Text
from agent.config.desired_config import MAX_CONFIRM_S
from agent.config.desired_config import SceneText as SceneToml
from agent.config_change.scene_request import SceneView
from agent.console.acts import scenes
from agent.console.acts.trial import confirm_trial, find_trial, undo_trial
from agent.pole_page.act import Act, ActCall, NoArgs
from agent.pole_page.acts.box import Outcome

DEFAULT_MINUTES, MAX_MINUTES = 5, int(MAX_CONFIRM_S / 60)


class CheckSceneArgs(SceneView, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view and its new scene."""

    toml: SceneToml


class TrySceneArgs(CheckSceneArgs, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view, its new scene, and the time until it is undone by itself."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_MINUTES)] = DEFAULT_MINUTES


class Problems(msgspec.Struct, frozen=True):
    """The reasons why a scene would not be put in force."""

    problems: tuple[Text, ...]


class TrialValue(msgspec.Struct, frozen=True, kw_only=True):
    """The change on trial; `kind` is None if there is none."""

    kind: str | None = None
    keys: str = ""
    by: str = ""
    remaining_s: float = 0.0
    text: Text = ""


def check(call: ActCall, args: CheckSceneArgs) -> Problems:
    """Check a scene as the agent does."""
    return Problems(scenes.find_scene_problems(call.context, _view(args), args.toml))


def try_scene(call: ActCall, args: TrySceneArgs) -> TrialValue:
    """Put a scene in force until it is confirmed, undone or the time has passed."""
    scenes.try_scene(call.context, _view(args), args.toml, args.minutes * 60.0)
    return read_trial(call, NoArgs())


def read_trial(call: ActCall, _args: NoArgs) -> TrialValue:
    """Return the change on trial."""
    trial = find_trial(call.context)
    if trial is None:
        return TrialValue()
    return TrialValue(
        kind=trial.kind,
        keys=trial.keys,
        by=trial.by,
        remaining_s=trial.remaining_s,
        text=trial.text,
    )


def _view(args: CheckSceneArgs) -> SceneView:
    return SceneView(camera=args.camera, preset=args.preset)


ACTS = {
    "scene": Act(
        run=lambda call, args: scenes.read_scene(call.context, args),
        lane="status",
        args_type=SceneView,
    ),
    "scene_check": Act(run=check, lane="work", args_type=CheckSceneArgs),
    "scene_try": Act(
        run=try_scene,
        lane="work",
        args_type=TrySceneArgs,
        receipt=lambda _call, args: f"{args.key}: on trial for {args.minutes} minutes",
    ),
    "trial": Act(run=read_trial, lane="status"),
    "trial_confirm": Act(
        run=lambda call, _args: Outcome(text=confirm_trial(call.context)),
        lane="work",
        receipt=lambda _call, _args: "config confirm",
    ),
    "trial_undo": Act(
        run=lambda call, _args: Outcome(text=undo_trial(call.context)),
        lane="work",
        receipt=lambda _call, _args: "config undo",
    ),
}
