"""Format the status of the system for a terminal of 80 columns. Pure."""

from agent.update.updater import SlotInfo, SystemStatus

_STATE_TEXTS = {
    "good": "good",
    "installed": "installed, not tried yet",
    "bad": "no working system",
}


def format_status(status: SystemStatus) -> list[str]:
    """Return the lines of the status."""
    version = status.version or "(unknown)"
    lines = [f"version {version} runs, from slot {status.booted}"]
    if status.compatible:
        lines[0] += f"; bundles for it: {status.compatible}"
    if status.on_trial:
        lines.append(f"on trial: back to slot {status.default} unless it is found good")
    elif status.booted != status.default:
        lines.append(
            f"slot {status.booted} is a fallback: slot {status.default} could not be booted"
        )
    lines += [_format_slot(name, slot, status) for name, slot in status.slots.items()]
    if status.failed_trial is not None:
        failed_trial = status.failed_trial
        lines.append(
            f"version {failed_trial.version or '(unknown)'} fell back, found {failed_trial.time}:"
        )
        lines.append(f"  {failed_trial.reason}")
    if status.refused:
        lines.append("installed again only on request:")
        lines += [f"  {version}" for version in status.refused]
    return lines


def _format_slot(name: str, slot: SlotInfo, status: SystemStatus) -> str:
    remarks = []
    if slot.booted:
        remarks.append("runs")
    if name == status.default:
        remarks.append("default")
    if name == status.pending and not status.tried:
        remarks.append("tried at the next reboot")
    version = slot.version or "(unknown)"
    line = f"  {name}  {version:16}  {_STATE_TEXTS.get(slot.state, slot.state)}"
    return f"{line}  ({', '.join(remarks)})" if remarks else line
