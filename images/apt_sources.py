"""Where the packages of an image come from: this machine's own sources of Debian, or a mirror."""

from pathlib import Path

MACHINE = Path("/etc/apt/sources.list.d")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.pgp"
SUITE = "trixie"


def of_mirror(mirror: str, security: str) -> str:
    """For who names a mirror."""
    return (
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE} {SUITE}-updates\nComponents: main\n"
        f"Signed-By: {KEYRING}\n\n"
        f"Types: deb\nURIs: {security}\nSuites: {SUITE}-security\nComponents: main\n"
        f"Signed-By: {KEYRING}\n"
    )


def of_machine(folder: Path = MACHINE) -> str:
    """The paragraphs of this machine's sources that give Debian's own packages of that release."""
    kept = []
    for file in sorted(folder.glob("*.sources")):
        for paragraph in file.read_text().split("\n\n"):
            lines = [one for one in paragraph.splitlines() if not one.startswith("#")]
            fields = dict(one.split(": ", 1) for one in lines if ": " in one)
            suites = fields.get("Suites", "").split()
            if fields.get("URIs", "").startswith("http") and any(
                one.startswith(SUITE) for one in suites
            ):
                kept.append("\n".join(lines).strip() + "\n")
    if not kept:
        raise SystemExit(f"no source of Debian {SUITE} in {folder}: say MIRROR=URL")
    return "\n".join(kept)


def of_board(mirror: str) -> str:
    """Raspberry Pi's archive, with the key that stands beside it in the sandbox."""
    return (
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n"
        "Signed-By: /etc/apt/keyrings/raspberrypi.pgp\n"
    )
