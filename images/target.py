"""What can be built: profiles, architectures, and the names that follow from them."""

import msgspec

ARCHITECTURES = {"virt": ("amd64", "arm64"), "pi": ("arm64",)}
"""By profile, what it can be built for. Names are Debian's."""

MKOSI_ARCHITECTURES = {"amd64": "x86-64", "arm64": "arm64"}
UNAME_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class BuildTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One image."""

    profile: str
    architecture: str
    version: str

    @property
    def name(self) -> str:
        """Such as virt-arm64: the folders of what is built for it."""
        return f"{self.profile}-{self.architecture}"

    @property
    def compatible(self) -> str:
        """What RAUC compares: a bundle for another board or architecture is refused."""
        return f"vigie-{self.name}"
