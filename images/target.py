"""Build targets: profiles, architectures, and names derived from them."""

import msgspec

ARCHITECTURES = {"virt": ("amd64", "arm64"), "pi": ("arm64",)}
"""The architectures of each profile, by Debian's names."""

MKOSI_ARCHITECTURES = {"amd64": "x86-64", "arm64": "arm64"}
UNAME_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class BuildTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One image: profile, architecture and version."""

    profile: str
    architecture: str
    version: str

    @property
    def name(self) -> str:
        """Return the name of the target's folders, such as virt-arm64."""
        return f"{self.profile}-{self.architecture}"

    @property
    def compatible(self) -> str:
        """Return RAUC's `compatible`: bundles for another board or architecture are refused."""
        return f"vigie-{self.name}"
