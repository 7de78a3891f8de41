"""What `update` may ask of root, which the console is not, and what it is told of it."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

UpdateAction: TypeAlias = Literal["status", "install", "rollback", "good"]


class UpdateRequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the order `id`. `step` is how far it is, `lines` how it ended."""

    id: str
    do: UpdateAction
    by: str
    state: Literal["doing", "done", "failed"]
    step: str = ""
    lines: tuple[str, ...] = ()


class UpdateRequests(Protocol):
    """Root's door for updates. What fails raises ConsoleError, UserError or OSError; ConsoleError where this
    machine has no slots.
    """

    def list_bundles(self) -> Sequence[str]:
        """The files of bundles on what is plugged in."""
        ...

    def submit_request(self, action: UpdateAction, by: str, bundle: str | None = None) -> str:
        """Give an order; its id. `bundle` is the file, of `install` alone."""
        ...

    def read_status(self) -> UpdateRequestStatus | None:
        """What root tells of the order that it has taken last; None where it has taken none."""
        ...

    def withdraw_request(self, request_id: str) -> bool:
        """Take an order back. False where root has taken it already."""
        ...
