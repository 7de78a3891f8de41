"""Format the status of the system for a terminal of 80 columns. Pure."""

from agent.base.message import Message, Text, join_phrases
from agent.update.updater import UNKNOWN_VERSION, SlotInfo, SystemStatus

_STATE_TEXTS = {
    "good": Message("good"),
    "installed": Message("installed, not tried yet"),
    "bad": Message("no working system"),
}


def format_status(status: SystemStatus) -> list[Text]:
    """Return the lines of the status."""
    booted = Message(
        "version {version} runs, from slot {slot}",
        version=status.version or UNKNOWN_VERSION,
        slot=status.booted,
    )
    lines: list[Text] = [
        Message(
            "{booted}; bundles for it: {compatible}", booted=booted, compatible=status.compatible
        )
        if status.compatible
        else booted
    ]
    if status.on_trial:
        lines.append(
            Message("on trial: back to slot {slot} unless it is found good", slot=status.default)
        )
    elif status.booted != status.default:
        lines.append(
            Message(
                "slot {booted} is a fallback: slot {default} could not be booted",
                booted=status.booted,
                default=status.default,
            )
        )
    lines += [_format_slot(name, slot, status) for name, slot in status.slots.items()]
    if status.failed_trial is not None:
        failed_trial = status.failed_trial
        lines.append(
            Message(
                "version {version} fell back, found {time}:",
                version=failed_trial.version or UNKNOWN_VERSION,
                time=failed_trial.time,
            )
        )
        lines.append(f"  {failed_trial.reason}")
    if status.refused:
        lines.append(Message("installed again only on request:"))
        lines += [f"  {version}" for version in status.refused]
    return lines


def _format_slot(name: str, slot: SlotInfo, status: SystemStatus) -> Message:
    remarks = join_phrases(
        Message("runs") if slot.booted else None,
        Message("default") if name == status.default else None,
        Message("tried at the next reboot")
        if name == status.pending and not status.tried
        else None,
    )
    line = Message(
        "  {slot}  {version:16}  {state}",
        slot=name,
        version=slot.version or UNKNOWN_VERSION,
        state=_STATE_TEXTS.get(slot.state, slot.state),
    )
    return Message("{line}  ({remarks})", line=line, remarks=remarks) if remarks else line
