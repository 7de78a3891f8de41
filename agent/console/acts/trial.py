"""A change on trial: keys of the configuration, or a scene. A technician confirms or undoes it."""

from typing import Literal

import msgspec

from agent.base.message import Message, Text
from agent.commands.command import NoArguments
from agent.config.desired_store import DesiredStore
from agent.config_change.scene_request import SceneDone, SceneRequest
from agent.console.acts.act import ActCall, Outcome, act
from agent.console.config_editor import format_reminder
from agent.console.context import ConsoleContext
from agent.console.errors import AgentDown, ConsoleError
from agent.runtime import control_client

REPLY_TIMEOUT_S = 30.0


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


@act(lane="status", typed="config")
def trial(call: ActCall, _args: NoArguments) -> Trial | None:
    """Return the change on trial, or None."""
    return find_trial(call.context)


@act(lane="work", typed="config confirm", receipt="config confirm")
def trial_confirm(call: ActCall, _args: NoArguments) -> Outcome:
    """Keep the change on trial."""
    context = call.context
    trial = find_trial(context)
    if trial is not None and trial.kind == "scene":
        send_request(context, SceneRequest(do="confirm", by=context.technician))
        keys = trial.keys
    else:
        keys = context.config_editor.confirm().keys
    return Outcome(text=Message("Kept: {keys}.", keys=keys))


@act(lane="work", typed="config undo", receipt="config undo")
def trial_undo(call: ActCall, _args: NoArguments) -> Outcome:
    """Put the state before the change in force again."""
    context = call.context
    trial = find_trial(context)
    if trial is not None and trial.kind == "scene":
        send_request(context, SceneRequest(do="undo", by=context.technician))
        return Outcome(text=Message("Undone: {keys}.", keys=trial.keys))
    rollback = context.config_editor.undo()
    return Outcome(
        text=Message(
            "Undone: {keys}; {outcome}. The agent restarts.",
            keys=rollback.commit.keys,
            outcome=rollback.outcome,
        )
    )


def send_request(context: ConsoleContext, request: SceneRequest) -> SceneDone:
    """Have the running agent do a request. Raises ConsoleError if it refuses or does not run, UserError."""
    try:
        done = control_client.request_one(context.state_dir, request, SceneDone, REPLY_TIMEOUT_S)
    except control_client.AgentRefused as error:
        raise ConsoleError(
            Message("refused ({code}): {reason}", code=error.code, reason=str(error))
        ) from error
    if done is None:
        raise AgentDown(Message("the agent does not run: see check 5"))
    return done
