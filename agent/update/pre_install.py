"""RAUC's pre-install handler: `python -m agent.update.pre_install`. It guards every `rauc install`.

RAUC calls it after checking the signature and before writing. Exit code 1 aborts the installation; the reason is a
line on stderr, which RAUC logs.
"""

import configparser
import logging
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.update import versions
from agent.update.errors import UpdateError
from agent.update.rauc_backend import image_version, open_slots
from agent.update.slots import Slots

log = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.raucm"
_MAX_MANIFEST_BYTES = 65_536
_CHUNK_BYTES = 1 << 20


class InstallRefused(UpdateError):
    """This installation is not permitted."""


def check_not_on_trial(slots: Slots) -> None:
    """Raise InstallRefused while the booted slot is on trial: the install would overwrite the fallback."""
    if slots.is_on_trial():
        raise InstallRefused(
            "this system is on trial: nothing is installed over the slot to fall back to"
        )


def check_permitted(
    booted_version: str | None, target_version: str, *, allow_downgrade: bool
) -> None:
    """Raise InstallRefused if a version may not be installed. Pure."""
    if versions.is_downgrade(booted_version, target_version) and not allow_downgrade:
        raise InstallRefused(
            f"version {target_version} is older than {booted_version or '(unknown)'}, which runs, and its manifest does not "
            "say [meta.vigie] downgrade=yes"
        )


def bundle_version(mount_point: Path) -> str:
    """Read the version of a bundle that RAUC has mounted. Raises: InstallRefused.

    RAUC passes no version. The manifest in the payload is covered by the signature: this read goes through
    dm-verity.
    """
    try:
        with (mount_point / MANIFEST_FILE).open("rb") as file:
            text = file.read(_MAX_MANIFEST_BYTES).decode("utf-8")
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        parser.read_string(text)
        return parser["update"]["version"].strip()
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise InstallRefused(f"{MANIFEST_FILE}: no readable version: {error}") from error


def verify_readable(mount_point: Path) -> None:
    """Read the whole payload, so that a tampered block is found before a slot is written.

    Raises: InstallRefused.
    """
    for path in sorted(mount_point.rglob("*")):
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                continue
            with path.open("rb", buffering=0) as file:
                while file.read(_CHUNK_BYTES):
                    pass
        except OSError as error:
            raise InstallRefused(
                f"{path.name}: the payload is damaged: {error.strerror}"
            ) from error


def check_install(slots: Slots, booted_version: str | None, environ: Mapping[str, str]) -> str:
    """Check an installation, and return its version. Raises: InstallRefused, OSError."""
    mount_point = environ.get("RAUC_BUNDLE_MOUNT_POINT", "")
    if not mount_point:
        raise InstallRefused("RAUC_BUNDLE_MOUNT_POINT: missing; only RAUC may start this program")
    version = bundle_version(Path(mount_point))
    allow_downgrade = environ.get("RAUC_META_VIGIE_DOWNGRADE") == "yes"
    check_not_on_trial(slots)
    slots.check_trial_possible()
    check_permitted(booted_version, version, allow_downgrade=allow_downgrade)
    verify_readable(Path(mount_point))
    slots.begin_install(version)
    return version


def main(root: Path = Path("/")) -> int:
    """Run the handler; exit code 1 aborts the installation."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="pre-install: %(message)s")
    try:
        version = check_install(open_slots(root), image_version(root), os.environ)
    except (UpdateError, OSError) as error:
        log.error("%s", error)
        return 1
    log.info("version %s may be installed", version)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path("/")))
