"""Client of RAUC: of its command line, and of its D-Bus service where the command line asks for more than it needs."""

import logging
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from agent.base.errors import UserError
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message
from agent.base.sha256 import Sha256
from agent.update.errors import UpdateError
from agent.update.verity import SignedPayload

log = logging.getLogger(__name__)

PROGRAM = "rauc"
COMMAND_TIMEOUT_S = 180.0
"""Long: RAUC starts programs of Vigie, and each takes its time on a busy board."""
_INTERFACE = "de.pengutronix.rauc.Installer"
"""RAUC's D-Bus interface, https://rauc.readthedocs.io/en/latest/reference.html#d-bus-api.

`rauc status` and its mark-good first ask for the state of each slot, four starts of the boot backend, and give the service
25 s, which was too little on a slow board that still starts everything else.
"""
_END_TIMEOUT_S = 10.0
"""Of the D-Bus client after the end of its own timeout."""
_BUNDLE_FORMAT = "verity"
_PROGRESS_LINE = re.compile(r"\s*(\d{1,3})% (.*)")
_LAST_ERROR_PREFIX = "LastError: "
_BUS_TIMEOUT = re.compile(
    r"Timeout was reached|Connection timed out|timed out \(service_start_timeout"
)
"""Messages of RAUC's client and of busctl, and of the bus if the service has not started after 25 s."""
ResultT = TypeVar("ResultT")


class RaucError(UpdateError):
    """RAUC failed; the message is its own."""


class _BusTimeout(RaucError):
    """RAUC's service has not answered RAUC's client in time: on a busy board it may still be starting."""


class RaucBundle(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a bundle's signed manifest."""

    compatible: str
    version: str
    downgrade: bool
    payload: SignedPayload


class _RaucUpdateSection(msgspec.Struct):
    compatible: str
    version: str


class _RaucBundleSection(msgspec.Struct):
    format: str
    size: Annotated[int, msgspec.Meta(ge=4096, le=1 << 40)] = msgspec.field(
        name="verity-size", default=4096
    )
    salt: Sha256 = msgspec.field(name="verity-salt", default="")
    root: Sha256 = msgspec.field(name="verity-hash", default="")


class _RaucInfo(msgspec.Struct):
    update: _RaucUpdateSection
    bundle: _RaucBundleSection
    meta: dict[str, dict[str, str]] = {}


class _Text(msgspec.Struct):
    data: str


class _PropertyReply(msgspec.Struct):
    """Property of a D-Bus service, as busctl writes it."""

    data: tuple[_Text]


class _MarkReply(msgspec.Struct):
    """Reply to `Mark`: the slot and a sentence."""

    data: tuple[str, str]


_INFO_DECODER = JsonDecoder(_RaucInfo)
_PROPERTY_DECODER = JsonDecoder(_PropertyReply)
_MARK_DECODER = JsonDecoder(_MarkReply)


class RaucClient:
    """Runs RAUC. `global_args` precede the command; a box needs none."""

    def __init__(self, global_args: Sequence[str] = ()) -> None:
        self._command = (PROGRAM, *global_args)

    def read_compatible(self) -> str:
        """Read the `compatible` of this box. Raises: RaucError."""
        properties = "org.freedesktop.DBus.Properties"
        return _call(_PROPERTY_DECODER, properties, "Get", _INTERFACE, "Compatible").data[0].data

    def read_bundle_info(self, path: Path) -> RaucBundle:
        """Check a bundle's signature, and read its manifest.

        Raises: RaucError; UserError if it is no bundle of the verity format.
        """
        if not path.is_file():
            raise UserError(Message("{label}: no such file", label=str(path)))
        info_command = (
            *self._command,
            "info",
            "--output-format=json-2",
            "--",
            str(path.absolute()),
        )
        output = _retry_once(lambda: _run(info_command, COMMAND_TIMEOUT_S))
        try:
            info = _INFO_DECODER.decode(output)
        except MalformedJson as error:
            raise RaucError(f"rauc info: unreadable answer: {error}") from error
        if info.bundle.format != _BUNDLE_FORMAT:
            raise UserError(
                Message(
                    "{label}: a bundle of format {format!r}; allowed: {allowed}",
                    label=str(path),
                    format=info.bundle.format,
                    allowed=_BUNDLE_FORMAT,
                )
            )
        return RaucBundle(
            compatible=info.update.compatible,
            version=info.update.version,
            downgrade=info.meta.get("vigie", {}).get("downgrade") == "yes",
            payload=SignedPayload(
                root_hash=info.bundle.root, salt=info.bundle.salt, hash_tree_bytes=info.bundle.size
            ),
        )

    def install(self, path: Path, on_progress: Callable[[int, str], None]) -> None:
        """Write a bundle into the other slot. Raises: RaucError.

        Without a timeout: a slow card is no error, and RAUC ends by itself.
        """
        _retry_once(lambda: self._install(path, on_progress))

    def _install(self, path: Path, on_progress: Callable[[int, str], None]) -> None:
        command = [*self._command, "install", "--", str(path.absolute())]
        output_lines: list[str] = []
        try:
            with subprocess.Popen(  # noqa: S603 - fixed words
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                for line in process.stdout or ():
                    progress_match = _PROGRESS_LINE.match(line)
                    if progress_match:
                        on_progress(min(100, int(progress_match[1])), progress_match[2].strip())
                    elif line.strip():
                        output_lines.append(line.strip())
        except OSError as error:
            raise RaucError(f"{PROGRAM}: {error.strerror}") from error
        if process.returncode:
            errors = [
                line.removeprefix(_LAST_ERROR_PREFIX)
                for line in output_lines
                if _LAST_ERROR_PREFIX in line
            ]
            raise _error(
                "; ".join(errors)
                or " / ".join(output_lines[-3:])
                or "rauc failed without a message"
            )

    def mark(self, verdict: str, slot: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Mark the slot `booted` or `other` as `good`, `bad` or `active`, and return RAUC's output.

        Raises: RaucError.
        """
        return _call(_MARK_DECODER, _INTERFACE, "Mark", verdict, slot, timeout_s=timeout_s).data[1]


def _call(
    decoder: JsonDecoder[ResultT],
    interface: str,
    method: str,
    *texts: str,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> ResultT:
    """Call a method of RAUC's service with two texts. Raises: RaucError."""
    command = (
        *("busctl", "--system", "--json=short", f"--timeout={timeout_s:.0f}", "call"),
        *("de.pengutronix.rauc", "/", interface, method, "ss", *texts),
    )
    output = _retry_once(lambda: _run(command, timeout_s + _END_TIMEOUT_S))
    try:
        return decoder.decode(output)
    except MalformedJson as error:
        raise RaucError(f"{interface}: {method}: unreadable answer: {error}") from error


def _run(command: Sequence[str], timeout_s: float) -> bytes:
    name = command[0]
    try:
        completed = subprocess.run(  # noqa: S603 - fixed words
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RaucError(f"{name}: no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise RaucError(f"{name}: {error.strerror}") from error
    if completed.returncode:
        raise _error(_last_line(completed.stderr) or f"{name}: exit code {completed.returncode}")
    return completed.stdout


def _retry_once(run: Callable[[], ResultT]) -> ResultT:
    """Run a command, and once more if the bus timed out. RAUC refuses a second one if the first has begun."""
    try:
        return run()
    except _BusTimeout as error:
        log.warning("%s; once more", error)
        return run()


def _error(message: str) -> RaucError:
    return _BusTimeout(message) if _BUS_TIMEOUT.search(message) else RaucError(message)


def _last_line(output: bytes) -> str:
    """Return the last line, which has the reason."""
    lines = [
        line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()
    ]
    return lines[-1] if lines else ""
