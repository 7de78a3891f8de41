"""Acts on the system's two slots: an update from an uploaded file, back, keep."""

import msgspec

from agent.base.message import Text, decode_message
from agent.console.acts import updates
from agent.pole_page.act import Act, ActCall, NoArgs
from agent.pole_page.acts.box import BoxArgs


class RequestId(msgspec.Struct, frozen=True):
    """The id of a request to root."""

    id: str


class UpdateValue(msgspec.Struct, frozen=True, kw_only=True):
    """The request that root has taken last; all is empty if there is none."""

    id: str | None = None
    state: str | None = None
    action: str | None = None
    requester: str | None = None
    step: Text = ""
    lines: tuple[Text, ...] = ()


def read_status(call: ActCall, _args: NoArgs) -> UpdateValue:
    """Return the progress or the outcome of the last request."""
    status = updates.read_status(call.context)
    if status is None:
        return UpdateValue()
    return UpdateValue(
        id=status.id,
        state=status.state,
        action=status.action,
        requester=status.requester,
        step=decode_message(status.step),
        lines=tuple(map(decode_message, status.lines)),
    )


def install(call: ActCall, _args: NoArgs) -> RequestId:
    """Store the uploaded bundle, and have root check and install it."""
    upload = call.require_upload()
    return RequestId(updates.install_upload(call.context, upload.parts(), upload.size_bytes))


def roll_back(call: ActCall, args: BoxArgs) -> RequestId:
    """Go back to the previous version, or drop the one that is installed and not tried."""
    args.confirm(call.context)
    return RequestId(updates.submit(call.context, "rollback"))


def keep(call: ActCall, args: BoxArgs) -> RequestId:
    """Keep the version that runs."""
    args.confirm(call.context)
    return RequestId(updates.submit(call.context, "mark_good"))


def read_slots(call: ActCall, _args: NoArgs) -> RequestId:
    """Have root read the slots; the lines come with `update_status`."""
    return RequestId(updates.submit(call.context, "status"))


ACTS = {
    "update_status": Act(run=read_status, lane="status"),
    "update_slots": Act(run=read_slots, lane="upload"),
    "update_install": Act(
        run=install,
        lane="upload",
        receipt=lambda call, _args: (
            f"update from a file of {call.require_upload().size_bytes} bytes"
        ),
    ),
    "update_rollback": Act(
        run=roll_back,
        lane="upload",
        args_type=BoxArgs,
        receipt=lambda _call, _args: "update rollback",
    ),
    "update_good": Act(
        run=keep, lane="upload", args_type=BoxArgs, receipt=lambda _call, _args: "update good"
    ),
}
