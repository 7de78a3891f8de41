"""A change on trial: keys of the configuration, or a scene. A technician confirms or undoes it."""

from typing import Literal

import msgspec

from agent.base.message import Message, Text
from agent.config.desired_store import DesiredStore
from agent.config_change.scene_request import SceneRequest
from agent.console.acts.scenes import send_request
from agent.console.config_editor import format_reminder
from agent.console.context import ConsoleContext


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is undone by itself after `remaining_s`. `kind`: its keys are of the file, or it is a scene."""

    kind: Literal["config", "scene"]
    keys: str
    by: str
    remaining_s: float
    text: Text


def find_trial(context: ConsoleContext) -> Trial | None:
    """Return the change of a technician that is on trial, or None. Raises OSError."""
    kind: Literal["config", "scene"] = "config"
    pending = context.config_editor.pending()
    if pending is None:
        # A version of the centre is kept once the box is seen to work with it.
        store, kind = DesiredStore(context.state_dir), "scene"
        pending = None if store.trial_technician() is None else store.pending()
    if pending is None:
        return None
    now_ns = context.clock.boottime_ns()
    return Trial(
        kind=kind,
        keys=pending.keys,
        by=pending.by,
        remaining_s=round(pending.remaining_s(now_ns, context.boot_id), 1),
        text=format_reminder(pending, now_ns, context.boot_id),
    )


def confirm_trial(context: ConsoleContext) -> Message:
    """Keep the change on trial. Raises ConsoleError, UserError or OSError."""
    trial = find_trial(context)
    if trial is not None and trial.kind == "scene":
        send_request(context, SceneRequest(do="confirm", by=context.technician))
        return Message("Kept: {keys}.", keys=trial.keys)
    return Message("Kept: {keys}.", keys=context.config_editor.confirm().keys)


def undo_trial(context: ConsoleContext) -> Message:
    """Put the state before the change in force again. Raises ConsoleError, UserError or OSError."""
    trial = find_trial(context)
    if trial is not None and trial.kind == "scene":
        send_request(context, SceneRequest(do="undo", by=context.technician))
        return Message("Undone: {keys}.", keys=trial.keys)
    rollback = context.config_editor.undo()
    return Message(
        "Undone: {keys}; {outcome}. The agent restarts.",
        keys=rollback.commit.keys,
        outcome=rollback.outcome,
    )
