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

MANIFEST = "manifest.raucm"
_MANIFEST_MOST_BYTES = 65_536
_CHUNK_BYTES = 1 << 20


class InstallRefused(UpdateError):
    """This installation is not to be, and why."""


def refuse_on_trial(slots: Slots) -> None:
    """Raise Held while this system is on trial: it would be written over the one to fall back to."""
    if slots.on_trial():
        raise InstallRefused(
            "this system is on trial: nothing is installed over the one to fall back to"
        )


def check_permitted(now: str | None, to: str, *, downgrade: bool) -> None:
    """Raise Held where a version must not be installed. Pure."""
    if versions.goes_back(now, to) and not downgrade:
        raise InstallRefused(
            f"version {to} is older than {now or '(unknown)'}, which runs, and its manifest does not "
            "say [meta.vigie] downgrade=yes"
        )


def bundle_version(mounted: Path) -> str:
    """The version of a bundle that RAUC has mounted. Raises Held.

    RAUC hands no version over. The manifest in the payload is covered by the signature all the same:
    what is read here goes through dm-verity.
    """
    try:
        with (mounted / MANIFEST).open("rb") as file:
            text = file.read(_MANIFEST_MOST_BYTES).decode("utf-8")
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        parser.read_string(text)
        return parser["update"]["version"].strip()
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise InstallRefused(f"{MANIFEST}: no version to be read in it: {error}") from error


def read_through(mounted: Path) -> None:
    """Read all of the payload, so that a block that was tampered with is found before a slot is
    written. Raises Held.
    """
    for path in sorted(mounted.rglob("*")):
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


def check(slots: Slots, now: str | None, environ: Mapping[str, str]) -> str:
    """The version that may be installed. Raises Held, or OSError."""
    mounted = environ.get("RAUC_BUNDLE_MOUNT_POINT", "")
    if not mounted:
        raise InstallRefused("RAUC_BUNDLE_MOUNT_POINT: not given; RAUC alone starts this")
    version = bundle_version(Path(mounted))
    downgrade = environ.get("RAUC_META_VIGIE_DOWNGRADE") == "yes"
    refuse_on_trial(slots)
    check_permitted(now, version, downgrade=downgrade)
    read_through(Path(mounted))
    slots.installing(version)
    return version


def main(root: Path = Path("/")) -> int:
    """Say whether it may be."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="pre-install: %(message)s")
    try:
        version = check(open_slots(root), image_version(root), os.environ)
    except (UpdateError, OSError) as error:
        log.error("%s", error)
        return 1
    log.info("version %s may be installed", version)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else Path("/")))
