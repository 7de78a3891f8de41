"""What `update` may ask of root, which the console is not, and what it is told of it."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

Do: TypeAlias = Literal["status", "install", "rollback", "good"]


class UpdateProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the order `id`. `step` is how far it is, `lines` how it ended."""

    id: str
    do: Do
    by: str
    state: Literal["doing", "done", "failed"]
    step: str = ""
    lines: tuple[str, ...] = ()


class UpdateDesk(Protocol):
    """Root's door for updates. What fails raises CannotDo, BadInput or OSError; CannotDo where this
    machine has no slots.
    """

    def bundles(self) -> Sequence[str]:
        """The files of bundles on what is plugged in."""
        ...

    def submit_request(self, do: Do, by: str, bundle: str | None = None) -> str:
        """Give an order; its id. `bundle` is the file, of `install` alone."""
        ...

    def read_status(self) -> UpdateProgress | None:
        """What root tells of the order that it has taken last; None where it has taken none."""
        ...

    def withdraw(self, order: str) -> bool:
        """Take an order back. False where root has taken it already."""
        ...
