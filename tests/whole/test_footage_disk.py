"""The free space of a box whose footage has a file system of its own, as on an image."""

from pathlib import Path

from agent.config.recording import FOOTAGE_DIR
from agent.console import machine_checks
from agent.health.degradation import compute_load
from agent.health.vitals.machine import MachineMonitor
from tests.crash.disk import make_ext4, mounted, skip_unless_available
from tests.machine_tree import FakeProcFs


def test_both_file_systems_are_measured_and_named(tmp_path: Path) -> None:
    skip_unless_available()
    state = tmp_path / "state"
    state.mkdir()
    machine = MachineMonitor(state, FakeProcFs(tmp_path / "machine", state).root, "/nowhere")
    shared = machine.read(0)
    assert not shared.is_footage_separate
    assert compute_load(shared, machine.disk).state_space_ratio is None
    assert [str(one.subject) for one in machine_checks.check_disks(state, state / FOOTAGE_DIR)] == [
        f"disk of {state}"
    ]
    with mounted(make_ext4(tmp_path / "footage.img", 24 << 20), state / FOOTAGE_DIR) as footage:
        vitals = machine.read(1)
        assert vitals.is_footage_separate
        assert vitals.footage_total_bytes is not None
        assert vitals.footage_total_bytes < 24 << 20
        assert vitals.state_total_bytes == shared.state_total_bytes
        assert compute_load(vitals, machine.disk).state_space_ratio is not None
        of_state, of_footage = machine_checks.check_disks(state, footage)
        assert (str(of_state.subject), of_state.fault_subject) == (f"disk of {state}", "state disk")
        assert (str(of_footage.subject), of_footage.fault_subject) == (f"disk of {footage}", "disk")
        assert " of 19.4 MB free" in str(of_footage.message)
