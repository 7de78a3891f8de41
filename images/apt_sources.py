"""Where the packages of an image come from: this machine's own sources of Debian, or a mirror."""

import subprocess
from collections.abc import Sequence

KEYRING = "/usr/share/keyrings/debian-archive-keyring.pgp"
SUITE = "trixie"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")


def deb822_source(uri: str, suites: str, signed_by: str = KEYRING) -> str:
    """One source as sources.list(5) wants it."""
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {signed_by}\n"


def mirror_sources(mirror: str, security: str) -> str:
    """For who names a mirror."""
    return (
        deb822_source(mirror, f"{SUITE} {SUITE}-updates")
        + "\n"
        + deb822_source(security, f"{SUITE}-security")
    )


def machine_sources(apt: Sequence[str] = ("apt-get",)) -> str:
    """What apt here knows of Debian's own archive of that release, however its sources are written."""
    index_targets = subprocess.run(
        [
            *(*apt, "indextargets", "--format"),
            "$(ORIGIN)\t$(CODENAME)\t$(COMPONENT)\t$(REPO_URI)\t$(SIGNED_BY)",
            "Created-By: Packages",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    sources: list[str] = []
    for line in index_targets.stdout.splitlines():
        origin, codename, component, uri, signed_by = line.split("\t")
        if (origin, component) != ("Debian", "main") or codename not in SUITES:
            continue
        # A folder of this machine is not seen by mkosi. A key may be told without a file, or not at all.
        if uri.startswith("http"):
            key = signed_by if signed_by.startswith("/") else KEYRING
            sources.append(deb822_source(uri, codename, key))
    if not sources:
        raise SystemExit(
            f"apt knows no source of Debian {SUITE} here: type apt-get update, or say MIRROR=URL"
        )
    return "\n".join(dict.fromkeys(sources))


def board_sources(mirror: str) -> str:
    """Raspberry Pi's archive, with the key that stands beside it in the sandbox."""
    return deb822_source(mirror, SUITE, "/etc/apt/keyrings/raspberrypi.pgp")
