"""RAUC, by its command line: fixed words, and answers as JSON."""

import logging
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.update.errors import UpdateError
from agent.update.verity import Signed

log = logging.getLogger(__name__)

PROGRAM = "rauc"
ASK_S = 180.0
"""Long: RAUC starts two programs of ours, and on a box that has a lot to do either takes its time."""
_FORMAT = "verity"
_PERCENT = re.compile(r"\s*(\d{1,3})% (.*)")
_LAST_ERROR = "LastError: "

Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class RaucFailed(UpdateError):
    """RAUC did not do it; what it said, in one line."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What the signed manifest of a bundle says."""

    compatible: str
    version: str
    downgrade: bool
    payload: Signed


class _Update(msgspec.Struct):
    compatible: str
    version: str


class _Format(msgspec.Struct):
    format: str
    size: Annotated[int, msgspec.Meta(ge=4096, le=1 << 40)] = msgspec.field(
        name="verity-size", default=4096
    )
    salt: Hex = msgspec.field(name="verity-salt", default="")
    root: Hex = msgspec.field(name="verity-hash", default="")


class _Info(msgspec.Struct):
    update: _Update
    bundle: _Format
    meta: dict[str, dict[str, str]] = {}


class _Status(msgspec.Struct):
    compatible: str
    booted: str | None = None


_INFO = msgspec.json.Decoder(_Info)
_STATUS = msgspec.json.Decoder(_Status)


class Rauc:
    """The program, with the words that stand before all others: none on a box."""

    def __init__(self, before: Sequence[str] = ()) -> None:
        self._words = (PROGRAM, *before)

    def compatible(self) -> str:
        """Which bundles are for this box. Raises RaucFailed."""
        try:
            return _STATUS.decode(self._ask("status", "--output-format=json")).compatible
        except msgspec.MsgspecError as error:
            raise RaucFailed(f"rauc status: an answer that cannot be read: {error}") from error

    def info(self, path: Path) -> Bundle:
        """A bundle whose signature is good. Raises RaucFailed, or BadInput where it is no bundle of
        the verity format.
        """
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        told = self._ask("info", "--output-format=json-2", "--", str(path.absolute()))
        try:
            info = _INFO.decode(told)
        except msgspec.MsgspecError as error:
            raise RaucFailed(f"rauc info: an answer that cannot be read: {error}") from error
        if info.bundle.format != _FORMAT:
            raise UserError(
                f"{path}: a bundle of format {info.bundle.format!r}; allowed: {_FORMAT}"
            )
        return Bundle(
            compatible=info.update.compatible,
            version=info.update.version,
            downgrade=info.meta.get("vigie", {}).get("downgrade") == "yes",
            payload=Signed(
                root=info.bundle.root, salt=info.bundle.salt, tree_bytes=info.bundle.size
            ),
        )

    def install(self, path: Path, progress: Callable[[int, str], None]) -> None:
        """Write it into the slot that does not run. Raises RaucFailed. No time is set: a slow card is
        no error, and RAUC ends by itself.
        """
        words = [*self._words, "install", "--", str(path.absolute())]
        said: list[str] = []
        try:
            with subprocess.Popen(  # noqa: S603 - fixed words
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as running:
                for line in running.stdout or ():
                    step = _PERCENT.match(line)
                    if step:
                        progress(min(100, int(step[1])), step[2].strip())
                    elif line.strip():
                        said.append(line.strip())
        except OSError as error:
            raise RaucFailed(f"{PROGRAM}: {error.strerror}") from error
        if running.returncode:
            errors = [line.removeprefix(_LAST_ERROR) for line in said if _LAST_ERROR in line]
            raise RaucFailed("; ".join(errors) or " / ".join(said[-3:]) or "rauc said nothing")

    def mark(self, word: str, slot: str) -> str:
        """`good`, `bad` or `active`, of `booted` or `other`. What it said. Raises RaucFailed."""
        return self._ask("status", f"mark-{word}", slot).decode("utf-8", "replace").strip()

    def _ask(self, *words: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                [*self._words, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ASK_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RaucFailed(f"rauc {words[0]}: no answer within {ASK_S:g} s") from error
        except OSError as error:
            raise RaucFailed(f"{PROGRAM}: {error.strerror}") from error
        if done.returncode:
            raise RaucFailed(_last_line(done.stderr) or f"exit code {done.returncode}")
        return done.stdout


def _last_line(said: bytes) -> str:
    """The last thing that was said, which is why."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
