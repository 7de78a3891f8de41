"""Provisioning at each boot, as root: settings from the card, network, time servers, host name.

Files in the agent's folders are written by the agent's user, see `apply`. If that fails, the box still gets a
network, and the system console shows the reason.
"""

import logging
import os
import pwd
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from agent.base import slot_state
from agent.base.device_identity import STATE_LOST_FLAG
from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.provisioning import apply, boot_partition, network_config, time_config
from agent.provisioning.apply import BoxFolders, ProvisioningResult
from agent.provisioning.board_config import OVERLAY_LIST
from agent.provisioning.network_config import NetworkConfig
from agent.provisioning.settings import FILE_NAME
from agent.update import overlay_sector
from agent.update.bootloader import find_firmware_problem

STATE_VOLATILE = "run/vigie-state-volatile"
"""Flag of the initramfs: no state partition could be opened; configuration and state are in memory."""

log = logging.getLogger(__name__)

APPLY_TIMEOUT_S = 90
"""Below the unit's 120 s, so that the network is still set."""
_READ_TIMEOUT_S = 10
"""Time to read the current state after that."""
_NETWORK_DIR = "run/systemd/network"
SLOT_STATE_DIR = "state/rauc"
_HOST_NAME_FILE = "proc/sys/kernel/hostname"

LedMode = Literal["waiting", "error", "restore"]
"""waiting: for settings, slow blinking; error: fast blinking; restore: the board's own use of the LED."""

_BLINK_HALF_PERIOD_MS = {"waiting": 1000, "error": 100}
_LED_NAMES = ("ACT", "led0")
"""Current and former name of a Raspberry Pi's own LED."""
_COLUMNS = 78


class ChildFailed(Exception):
    """The child ended without a result; its error is on stderr."""


def run_as_user(name: str, work: Callable[[], bytes], timeout_s: int) -> bytes:
    """Return the result of `work`, run as that user; as the current user if that is not root.

    A child that takes longer than `timeout_s` is killed: a file in that user's folders, such as a FIFO, may
    block it for ever.

    Raises UserError if the user is unknown, and ChildFailed if the child ends without a result.
    """
    if os.geteuid() != 0:
        return work()
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise UserError(f"--user {name!r}: no such user; allowed: the agent's user") from error
    sys.stdout.flush()
    sys.stderr.flush()
    read_fd, write_fd = os.pipe()
    child_pid = os.fork()
    if child_pid == 0:
        os.close(read_fd)
        signal.alarm(timeout_s)
        _run_child(user, work, write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child_pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise ChildFailed(f"the work as user {name!r} ended with code {code}")
    return data


def _run_child(user: pwd.struct_passwd, work: Callable[[], bytes], write_fd: int) -> None:
    """Drop root's privileges, run `work` and exit. Never returns."""
    exit_code = 1
    try:
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        os.umask(0o077)
        data = work()
        with os.fdopen(write_fd, "wb") as pipe:
            pipe.write(data)
        exit_code = 0
    except OSError as error:
        print(f"{error.filename or 'provision'}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - the child has no other channel
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(exit_code)


def format_banner(title: str, lines: Sequence[str]) -> str:
    """Frame a title and lines, so that they stand out among the boot messages. Pure."""
    rule = "*" * _COLUMNS
    body = [title, *(part for line in lines for part in _wrap(line))]
    return "\n".join(["", rule, *(f"* {row}" for row in body), rule, ""]) + "\n"


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(
        line, _COLUMNS - 4, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
    )


def print_console(root: Path, text: str) -> None:
    """Print at the system console without blocking: a boot does not wait for a cable."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        handle = os.open(root / "dev/console", flags)
        try:
            os.write(handle, text.encode(errors="replace"))
        finally:
            os.close(handle)


def set_led(root: Path, mode: LedMode) -> None:
    """Set the board's LED, blinked by the kernel after this process has ended. A board without one is skipped."""
    for name in _LED_NAMES:
        led = root / "sys/class/leds" / name
        with suppress(OSError):
            triggers = (led / "trigger").read_text(encoding="ascii", errors="replace").split()
            if mode == "restore":
                if "[timer]" in triggers:
                    (led / "trigger").write_text("mmc0" if "mmc0" in triggers else "none")
            else:
                (led / "trigger").write_text("timer")
                for delay_file in ("delay_on", "delay_off"):
                    (led / delay_file).write_text(str(_BLINK_HALF_PERIOD_MS[mode]))
            return


class BootPaths(msgspec.Struct, frozen=True, kw_only=True):
    """Folders and user. `root` is the parent of dev, proc, run and sys."""

    boot_mount: Path
    config_dir: Path
    state_dir: Path
    user: str
    root: Path


def provision_box(paths: BootPaths) -> int:
    """Provision the box, and show the result.

    Exit code 0: done, or nothing to do; 1: failed; 2: the settings are wrong. Raises: UserError.
    """
    errors: list[str] = []
    data = None
    try:
        data = boot_partition.read_settings(paths.boot_mount)
    except OSError as error:
        # An interrupted commit in the box is completed all the same.
        errors.append(_error_text(error))
    result = _apply_settings(data, paths, errors)
    if result is not None and _is_volatile(paths):
        # The state ends with the power: the card keeps the secrets, and gets no request of a lost key.
        result = msgspec.structs.replace(result, certificate_request=None, scrubbed_settings=None)
    _collect_os_error(
        errors, lambda: _set_network(paths.root, result.network if result else NetworkConfig())
    )
    _collect_os_error(errors, lambda: _set_time_servers(paths.root, result))
    _collect_os_error(errors, lambda: _set_overlays(paths.root, result))
    if result is not None:
        _set_host_name(paths.root, result.box_id)
        if data is not None:
            # Without settings it may be a foreign card, or none.
            _collect_os_error(errors, lambda: _write_boot_partition(paths.boot_mount, result))
    return _report_result(paths, result, errors)


def _write_boot_partition(boot_mount: Path, result: ProvisioningResult) -> None:
    boot_partition.remove_partial_files(boot_mount)
    if result.box_id is not None and result.certificate_request is not None:
        boot_partition.write_request(boot_mount, result.box_id, result.certificate_request)
    if result.scrubbed_settings is not None:
        # Last: until then the original file shows that there is work to do.
        boot_partition.write_scrubbed_settings(boot_mount, result.scrubbed_settings)


def _collect_os_error(errors: list[str], action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        errors.append(_error_text(error))


def _error_text(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _is_volatile(paths: BootPaths) -> bool:
    return (paths.root / STATE_VOLATILE).exists()


def _apply_settings(
    data: bytes | None, paths: BootPaths, errors: list[str]
) -> ProvisioningResult | None:
    """Apply the settings; on failure read the current state, or return None if that fails too."""
    box_folders = BoxFolders(
        config_dir=paths.config_dir,
        state_dir=paths.state_dir,
        overlay_list=paths.root / OVERLAY_LIST,
        source=FILE_NAME,
    )
    try:
        return _run_as_agent_user(
            paths, lambda: apply.apply_settings(data, box_folders), APPLY_TIMEOUT_S
        )
    except (ChildFailed, OSError) as error:
        errors.append(f"{error}; see journalctl -u vigie-provision")
    try:
        return _run_as_agent_user(paths, lambda: apply.current_state(box_folders), _READ_TIMEOUT_S)
    except (ChildFailed, OSError):
        errors.append(f"{paths.config_dir} cannot be read either: every port uses DHCP")
        return None


def _run_as_agent_user(
    paths: BootPaths, work: Callable[[], ProvisioningResult], timeout_s: int
) -> ProvisioningResult:
    """Run `work` as the agent's user. Raises: ChildFailed, OSError."""
    encoded = run_as_user(paths.user, lambda: msgspec.json.encode(work()), timeout_s)
    return decode_json(encoded, ProvisioningResult)


def _set_network(root: Path, network: NetworkConfig) -> None:
    folder = root / _NETWORK_DIR
    folder.mkdir(parents=True, exist_ok=True)
    files = network_config.render_files(network)
    for path in folder.iterdir():
        if network_config.FILE_PATTERN.fullmatch(path.name) and path.name not in files:
            path.unlink()
    _write_for_daemon(folder, files)


def _set_time_servers(root: Path, result: ProvisioningResult | None) -> None:
    """Write chronyd's files, or delete them if there are no time servers: it does not start then."""
    folder = root / time_config.RUNTIME_DIR
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    time_files = time_config.render_files(result.time, result.time_ca) if result else {}
    for path in folder.iterdir():
        if path.name not in time_files:
            path.unlink()
    _write_for_daemon(folder, time_files)


def _set_overlays(root: Path, result: ProvisioningResult | None) -> None:
    """Write the overlays for the unit that tries them; an image for x86 has none, and no such unit."""
    path = root / overlay_sector.WANTED_FILE
    if result is None or not (root / OVERLAY_LIST).exists():
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in result.board.overlays), encoding="ascii")


def _board_lines(root: Path, result: ProvisioningResult) -> list[str]:
    """Return lines about a boot loader that is too old, and about overlays that did not come good."""
    if not (root / OVERLAY_LIST).exists():
        return []
    lines = []
    problem = find_firmware_problem(root / "proc/device-tree")
    if problem is not None and result.kind == "applied":
        lines.append(f"{problem}; until then the box takes no update and no overlays")
    sector = overlay_sector.encode_sector(result.board.overlays)
    failed_trial = slot_state.read(root / SLOT_STATE_DIR).failed_trial
    if failed_trial is not None and overlay_sector.was_tried(root, sector):
        lines.append(
            "the overlays of [board] were tried, and the box was not found good with them: it runs as before; "
            "correct them, or see the log of that boot"
        )
    return lines


def _write_for_daemon(folder: Path, files: Mapping[str, str]) -> None:
    """Write files that a daemon reads as another user."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o644)


def _set_host_name(root: Path, box_id: str | None) -> None:
    """Set the kernel's host name only: /etc is not persistent."""
    path = root / _HOST_NAME_FILE
    try:
        if box_id is not None and path.read_text(encoding="ascii").strip() != box_id:
            path.write_text(box_id, encoding="ascii")
    except OSError as error:
        log.warning("host name: %s: %s", path, error.strerror or error)


def _report_result(paths: BootPaths, result: ProvisioningResult | None, errors: list[str]) -> int:
    exit_code, led_mode, title, lines = _format_result(paths, result)
    if (errors or _is_volatile(paths)) and exit_code == 0 and led_mode == "restore":
        # A title with the box's name means success, see `_update_stale_result`.
        lines = [title.removeprefix(_TITLE_PREFIX), *lines] if title else lines
        title = f"{_TITLE_PREFIX}NOT ALL COULD BE DONE"
    lines += errors
    if _is_volatile(paths):
        lines.insert(0, _VOLATILE_TEXT)
    elif result is not None and (paths.root / STATE_LOST_FLAG).exists():
        lines.insert(0, _STATE_LOST_TEXT)
    if errors or _is_volatile(paths):
        exit_code, led_mode = 1, "error"
    set_led(paths.root, led_mode)
    if not title and not lines:
        _update_stale_result(paths.boot_mount, result)
        return exit_code
    title = title or f"{_TITLE_PREFIX}box {result.box_id if result else None}"
    for line in (title, *lines):
        log.log(logging.WARNING if exit_code else logging.INFO, "%s", line)
    text = format_banner(title, lines)
    print_console(paths.root, text)
    if result is None or result.kind != "unprovisioned":
        # An unwritable card has been reported already.
        with suppress(OSError):
            _write_result(paths.boot_mount, text)
    return exit_code


_TITLE_PREFIX = "VIGIE: "
_UNKNOWN_BOX_TEXT = "this box has no settings, and records nothing"
_STATE_LOST_TEXT = (
    "the partition of the box's state was lost: its key, its receipts and the messages "
    "for the centre are gone. Inform the centre; have the new certificate request signed"
)
_VOLATILE_TEXT = (
    "the disk's own partition for keys and settings cannot be opened: the box runs from memory until it "
    "is switched off, and the secrets stay in the settings file; replace the card or the disk"
)
_SEE_DOCS_TEXT = "see docs/settings.md"


def _update_stale_result(boot_mount: Path, result: ProvisioningResult | None) -> None:
    """Replace a stale result on the card once the problem is gone."""
    if result is None or result.box_id is None:
        return
    title = f"{_TITLE_PREFIX}box {result.box_id}"
    with suppress(OSError):
        previous = boot_partition.read_result(boot_mount)
        if previous is not None and f"\n* {title} " not in previous:
            _write_result(
                boot_mount,
                format_banner(f"{title} is as it was set up", _signing_lines(result)),
            )


def _write_result(boot_mount: Path, text: str) -> None:
    boot_partition.write_result(boot_mount, text.strip("\n") + "\n")


def _format_result(
    paths: BootPaths, result: ProvisioningResult | None
) -> tuple[int, LedMode, str, list[str]]:
    """Return exit code, LED mode, title and lines."""
    if result is None:
        return 1, "error", f"{_TITLE_PREFIX}THE SETTINGS COULD NOT BE TAKEN IN", []
    lines = [*result.lines, *_board_lines(paths.root, result)]
    match result.kind:
        case "unprovisioned":
            similar = boot_partition.find_similar_names(paths.boot_mount)
            hint = f"; there is {', '.join(similar)}: is it that?" if similar else ""
            return (
                0,
                "waiting",
                f"{_TITLE_PREFIX}NO SETTINGS",
                [
                    _UNKNOWN_BOX_TEXT,
                    f"{paths.boot_mount} holds no {FILE_NAME}{hint}",
                    f"put {FILE_NAME} on the card's first partition, and start the box again; "
                    + _SEE_DOCS_TEXT,
                    *lines,
                ],
            )
        case "refused":
            title = f"{_TITLE_PREFIX}THE SETTINGS ARE WRONG"
            return 2, "error", title, [_keeps_running_text(result), *lines]
        case "failed":
            title = f"{_TITLE_PREFIX}THE SETTINGS COULD NOT BE TAKEN IN"
            return 1, "error", title, [_keeps_running_text(result), *lines]
        case "applied":
            change = "is set up" if result.is_first else "has new settings"
            title = f"{_TITLE_PREFIX}box {result.box_id} {change}"
            return 0, "restore", title, [*lines, *_signing_lines(result)]
        case _:
            return 0, "restore", "", lines


def _keeps_running_text(result: ProvisioningResult) -> str:
    if result.box_id is None:
        return _UNKNOWN_BOX_TEXT
    return f"the box keeps running as {result.box_id}, with its current settings"


def _signing_lines(result: ProvisioningResult) -> list[str]:
    if result.certificate_request is None:
        return []
    line = (
        f"have {result.box_id}{boot_partition.REQUEST_SUFFIX} on the card signed by the centre; until then the box "
        "records, but its broker refuses it"
    )
    return [line]
