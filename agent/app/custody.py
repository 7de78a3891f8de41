"""The box's key and its custody log at the start of the agent."""

from collections.abc import Iterable, Iterator

from agent.app.box_context import BoxContext
from agent.base.damaged_file import is_unreported
from agent.base.device_identity import IDENTITY_DIR, STATE_LOST_FLAG, DeviceIdentity
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.config.configuration import BoxConfig
from agent.config_change.state_folder import set_lost_aside
from agent.recording.custody.chain_files import chain_files
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FileQuarantined, ReceiptBody, ServiceAction


def open_custody(config: BoxConfig, box: BoxContext) -> tuple[DeviceIdentity, CustodyLog]:
    """Return the box's key and its custody log; raise CUS-02 if the key is a new one. Files that are lost are set aside.

    Raises: UserError.
    """
    state_dir, faults = box.state_dir, box.faults
    has_receipts = bool(chain_files(state_dir / "custody"))
    try:
        identity = DeviceIdentity.load_or_create(state_dir / IDENTITY_DIR)
        custody = CustodyLog.open(state_dir / "custody", box.id, box.boot, box.clock, identity)
    except OSError as error:
        raise UserError(
            Message(
                "{label}: {problem}",
                label=f"box.state = {config.state!r}",
                problem=message_of(error),
            )
        ) from error
    if identity.damaged_key_file:
        reason = Message("the damaged key was kept as {name}", name=str(identity.damaged_key_file))
        faults.raise_fault("CUS-02", "identity", reason)
    elif identity.is_new and has_receipts:
        reason = Message("the key was missing; the custody log of the key before it is set aside")
        faults.raise_fault("CUS-02", "identity", reason)
    elif is_unreported(state_dir / IDENTITY_DIR):
        faults.raise_fault("CUS-02", "identity", Message("the folder of the key was damaged"))
    elif (state_lost := box.machine_root / STATE_LOST_FLAG).exists():
        reason = Message(
            "the state partition is lost: {reason}", reason=state_lost.read_text().strip()
        )
        faults.raise_fault("CUS-02", "identity", reason)
    set_lost_aside(state_dir)
    return identity, custody


def start_receipts(identity: DeviceIdentity, mended: Iterable[str]) -> Iterator[ReceiptBody]:
    """Yield the receipts of what a start has set aside or mended. `mended` has a line for each mode."""
    if identity.damaged_key_file:
        name = f"{IDENTITY_DIR}/{identity.damaged_key_file}"
        yield FileQuarantined(camera=None, name=name)
    for line in mended:
        yield ServiceAction(by="vigie", action=line)
