"""The box's key and its custody log at the start of the agent."""

from pathlib import Path

from agent.base.clock import Clock, boot_id
from agent.base.damaged_file import is_unreported
from agent.base.device_identity import STATE_LOST_FLAG, DeviceIdentity
from agent.base.errors import UserError
from agent.config.configuration import BoxConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.custody_log import CustodyLog


def open_custody(
    box: BoxConfig, state_dir: Path, machine_root: Path, clock: Clock, faults: FaultRegistry
) -> tuple[DeviceIdentity, CustodyLog]:
    """Return the box's key and its custody log; raise CUS-02 if the key is a new one. Raises: UserError."""
    try:
        identity = DeviceIdentity.load_or_create(state_dir / "identity")
        custody = CustodyLog.open(state_dir / "custody", box.id, boot_id(), clock, identity)
    except OSError as error:
        raise UserError(f"box.state = {box.state!r}: {error}") from error
    if identity.damaged_key_file:
        reason = f"the damaged key was kept as {identity.damaged_key_file}"
        faults.raise_fault("CUS-02", "identity", reason)
    elif is_unreported(state_dir / "identity"):
        faults.raise_fault("CUS-02", "identity", "the folder of the key was damaged")
    elif (state_lost := machine_root / STATE_LOST_FLAG).exists():
        reason = f"the state partition is lost: {state_lost.read_text().strip()}"
        faults.raise_fault("CUS-02", "identity", reason)
    return identity, custody
