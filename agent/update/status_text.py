"""Format the status of the system for a terminal of 80 columns. Pure."""

from agent.base.message import Message, Text, join_phrases
from agent.base.slot_state import FAILURE_TEXTS
from agent.update.updater import UNKNOWN_VERSION, SlotInfo, SystemStatus


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
        lines.append(Message("  {reason}", reason=FAILURE_TEXTS[failed_trial.reason]))
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
        state=_format_state(slot),
    )
    return Message("{line}  ({remarks})", line=line, remarks=remarks) if remarks else line


def _format_state(slot: SlotInfo) -> Message:
    if slot.state == "good":
        return Message("good")
    if slot.state == "installed":
        return Message("not found good yet") if slot.booted else Message("installed, not tried yet")
    # A slot that is being written, or whose write was cut, has no version.
    return Message("failed its trial") if slot.version else Message("no working system")
