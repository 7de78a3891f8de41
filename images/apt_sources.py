"""Package sources of an image: the Debian sources of this machine, or a mirror."""

import subprocess
from collections.abc import Sequence

KEYRING = "/usr/share/keyrings/debian-archive-keyring.pgp"
SUITE = "trixie"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")


def deb822_source(uri: str, suites: str, signed_by: str = KEYRING) -> str:
    """Return one source in the deb822 format of sources.list(5)."""
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {signed_by}\n"


def mirror_sources(mirror: str, security: str) -> str:
    """Return the sources of a given mirror."""
    return (
        deb822_source(mirror, f"{SUITE} {SUITE}-updates")
        + "\n"
        + deb822_source(security, f"{SUITE}-security")
    )


def machine_sources(apt: Sequence[str] = ("apt-get",)) -> str:
    """Return this machine's sources of the Debian release, read from apt, in whichever format they are written.

    Raises SystemExit if there are none.
    """
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
        # mkosi does not see folders of this machine. Signed-By may be a fingerprint, or missing.
        if uri.startswith("http"):
            key = signed_by if signed_by.startswith("/") else KEYRING
            sources.append(deb822_source(uri, codename, key))
    if not sources:
        raise SystemExit(
            f"apt has no source of Debian {SUITE}: run apt-get update, or set MIRROR=URL"
        )
    return "\n".join(dict.fromkeys(sources))


def board_sources(mirror: str) -> str:
    """Return the source of Raspberry Pi's archive, with its key in the sandbox."""
    return deb822_source(mirror, SUITE, "/etc/apt/keyrings/raspberrypi.pgp")
