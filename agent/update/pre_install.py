"""RAUC's pre-install handler: what no `rauc install` may do, whoever starts it.

`python -m agent.update.pre_install`, after RAUC has checked the signature and before it writes. Exit code 1
ends the installation; the reason is a line on stderr, which RAUC puts into its log.
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
    """This installation is not to be, and why."""


def check_not_on_trial(slots: Slots) -> None:
    """Raise Held while this system is on trial: it would be written over the one to fall back to."""
    if slots.is_on_trial():
        raise InstallRefused(
            "this system is on trial: nothing is installed over the one to fall back to"
        )


def check_permitted(
    booted_version: str | None, target_version: str, *, allow_downgrade: bool
) -> None:
    """Raise Held where a version must not be installed. Pure."""
    if versions.is_downgrade(booted_version, target_version) and not allow_downgrade:
        raise InstallRefused(
            f"version {target_version} is older than {booted_version or '(unknown)'}, which runs, and its manifest does not "
            "say [meta.vigie] downgrade=yes"
        )


def bundle_version(mount_point: Path) -> str:
    """The version of a bundle that RAUC has mounted. Raises Held.

    RAUC hands no version over. The manifest in the payload is covered by the signature all the same:
    what is read here goes through dm-verity.
    """
    try:
        with (mount_point / MANIFEST_FILE).open("rb") as file:
            text = file.read(_MAX_MANIFEST_BYTES).decode("utf-8")
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        parser.read_string(text)
        return parser["update"]["version"].strip()
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise InstallRefused(f"{MANIFEST_FILE}: no version to be read in it: {error}") from error


def verify_readable(mount_point: Path) -> None:
    """Read all of the payload, so that a block that was tampered with is found before a slot is
    written. Raises Held.
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
    """The version that may be installed. Raises Held, or OSError."""
    mount_point = environ.get("RAUC_BUNDLE_MOUNT_POINT", "")
    if not mount_point:
        raise InstallRefused("RAUC_BUNDLE_MOUNT_POINT: not given; RAUC alone starts this")
    version = bundle_version(Path(mount_point))
    allow_downgrade = environ.get("RAUC_META_VIGIE_DOWNGRADE") == "yes"
    check_not_on_trial(slots)
    check_permitted(booted_version, version, allow_downgrade=allow_downgrade)
    verify_readable(Path(mount_point))
    slots.begin_install(version)
    return version


def main(root: Path = Path("/")) -> int:
    """Say whether it may be."""
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
