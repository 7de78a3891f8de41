"""How the system stands, in lines for a terminal of 80 columns. Pure."""

from agent.update.updater import SlotInfo, Status

_WORDS = {
    "good": "good",
    "installed": "installed, not proved yet",
    "bad": "nothing in it that works",
}


def lines(status: Status) -> list[str]:
    """All of it."""
    version = status.version or "(unknown)"
    found = [f"version {version} runs, from slot {status.booted}"]
    if status.compatible:
        found[0] += f"; bundles for it: {status.compatible}"
    if status.on_trial:
        found.append(f"on trial: slot {status.default} comes back unless it proves itself")
    elif status.booted != status.default:
        found.append(f"slot {status.booted} stands in: slot {status.default} could not be booted")
    found += [_slot(name, slot, status) for name, slot in status.slots.items()]
    if status.fell_back is not None:
        fallen = status.fell_back
        found.append(f"version {fallen.version or '(unknown)'} fell back, found {fallen.time}:")
        found.append(f"  {fallen.why}")
    if status.refused:
        found.append("not tried again unasked:")
        found += [f"  {version}" for version in status.refused]
    return found


def _slot(name: str, slot: SlotInfo, status: Status) -> str:
    remarks = []
    if slot.runs:
        remarks.append("runs")
    if name == status.default:
        remarks.append("default")
    if name == status.pending and not status.tried:
        remarks.append("tried at the next reboot")
    version = slot.version or "(unknown)"
    line = f"  {name}  {version:16}  {_WORDS.get(slot.state, slot.state)}"
    return f"{line}  ({', '.join(remarks)})" if remarks else line
