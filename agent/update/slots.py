"""Two slots, and what may happen to them. Each write leaves a box that boots the old or the new.

The default changes in one way only: the slot that runs was found good. An installed slot is pending, and
is tried once; whatever becomes of it, the boot after that is the default again. Decision 13 has the
reasons.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.update import slot_state as books
from agent.update.bootloader import Bootloader, Choice, Unreadable, other
from agent.update.errors import UpdateError
from agent.update.slot_state import FellBack, Installing, Slot, SlotRecord, SlotState

log = logging.getLogger(__name__)


class SlotRefused(UpdateError):
    """What was asked for would leave a box without a system that works."""


class Slots:
    """The slots of a box that runs from `current`."""

    def __init__(
        self,
        firmware: Bootloader,
        folder: Path,
        current: Slot,
        write: Callable[[Path, SlotState], None] = books.write,
    ) -> None:
        """`folder` is where the book lies."""
        self._firmware = firmware
        self._folder = folder
        self._write = write
        self.current = current

    @property
    def firmware(self) -> str:
        """Which way this box has."""
        return self._firmware.name

    def book(self) -> SlotState:
        """What is known."""
        return books.read(self._folder)

    def choice(self) -> Choice:
        """What boots. Where the firmware's file says nothing, it is what runs now."""
        return self._choice(self.book())

    def _choice(self, book: SlotState) -> Choice:
        try:
            return self._firmware.read(book)
        except Unreadable as error:
            log.warning("%s; taken as the default: %s, which runs", error, self.current)
            return Choice(default=self.current)

    def on_trial(self) -> bool:
        """Whether the system that runs is being tried, and leaves for the default unless it is good."""
        choice = self.choice()
        if self.current == choice.default:
            return False
        return choice.pending == self.current or self._firmware.is_trial()

    def primary(self) -> Slot:
        """What boots next."""
        return self.choice().next

    def state(self, slot: Slot) -> str:
        """As RAUC wants it: good or bad."""
        return "bad" if self.book().slot(slot).state == "bad" else "good"

    def set_primary(self, slot: Slot) -> None:
        """Try it at the next boot; the default itself: try nothing."""
        book = self.book()
        choice = self._choice(book)
        if slot == choice.default:
            book = self._choose(Choice(default=slot), book)
            if slot == self.current:
                # Who went back from it has thought better of it.
                self._keep(book.without_refused(book.slot(slot).version), book)
            return
        known = book.slot(slot)
        if known.state == "bad":
            known = msgspec.structs.replace(known, state="installed")
        if book.installing is not None and book.installing.slot == slot:
            known = msgspec.structs.replace(known, version=book.installing.version)
        book = msgspec.structs.replace(book.with_slot(slot, known), installing=None, reached=None)
        self._write(self._folder, book)
        self._choose(Choice(default=choice.default, pending=slot), book)

    def set_state(self, slot: Slot, *, good: bool) -> None:
        """RAUC's word on a slot. Raises Refused."""
        if good:
            self._set_good(slot)
        else:
            self._set_bad(slot)

    def _set_good(self, slot: Slot) -> None:
        book = self.book()
        choice = self._choice(book)
        if slot == self.current != choice.default:
            # The one write by which a default ever changes. What the book says follows from it.
            book = self._choose(Choice(default=slot), book)
        known = msgspec.structs.replace(book.slot(slot), state="good")
        fresh = book.with_slot(slot, known)
        if slot == self.current:
            fallen = fresh.fell_back
            # Where the power was cut within this very order, the slot is the default already.
            if slot != choice.default or (fallen is not None and fallen.slot == slot):
                fresh = msgspec.structs.replace(fresh, fell_back=None)
            if choice.pending in (None, slot):
                # Where another waits, somebody may be going back from this one: it stays refused.
                fresh = fresh.without_refused(known.version)
        self._keep(fresh, book)

    def _set_bad(self, slot: Slot) -> None:
        book = self.book()
        choice = self._choice(book)
        if slot == choice.default:
            raise SlotRefused(
                f"slot {slot} is the default: it stays until another has proved itself"
                + ("" if slot == self.current else f"; what runs, {self.current}, has not yet")
            )
        if choice.pending == slot and not choice.tried:
            # First of all: a slot that is being written must not be tried.
            book = self._choose(Choice(default=choice.default), book)
        version = book.slot(slot).version if slot == self.current else None
        self._keep(book.with_slot(slot, SlotRecord(state="bad", version=version)), book)

    def installing(self, version: str) -> None:
        """What RAUC is going to write into the slot that does not run."""
        book = self.book()
        doing = Installing(slot=other(self.current), version=version)
        self._keep(msgspec.structs.replace(book, installing=doing), book)

    def settle(self, version: str | None, now: str) -> FellBack | None:
        """Once after a boot: what became of the trial. The fall-back that was found, if any."""
        book = self.book()
        choice = self._choice(book)
        known = msgspec.structs.replace(book.slot(self.current), version=version)
        if self.current != choice.default:
            if self.on_trial():
                log.info("slot %s is on trial; the default is %s", self.current, choice.default)
                fresh = book.with_slot(self.current, known)
                self._keep(msgspec.structs.replace(fresh, reached=self.current), book)
            else:
                log.warning("slot %s stands in for %s", self.current, choice.default)
                self._keep(book.with_slot(self.current, known), book)
            return None
        fresh = book.with_slot(self.current, msgspec.structs.replace(known, state="good"))
        pending = choice.pending
        if pending is None or not choice.tried:
            self._choose(choice, self._keep(fresh, book))
            return None
        tried = fresh.slot(pending)
        fell_back = FellBack(
            version=tried.version,
            slot=pending,
            time=now,
            why="it came up and did not prove itself"
            if fresh.reached == pending
            else "it did not come up, or the power was cut",
        )
        fresh = fresh.with_slot(pending, msgspec.structs.replace(tried, state="bad"))
        fresh = fresh.with_refused(tried.version)
        fresh = msgspec.structs.replace(fresh, fell_back=fell_back, reached=None)
        # The book first: cut in between, the next boot finds the same again.
        self._choose(Choice(default=choice.default), self._keep(fresh, book))
        return fell_back

    def refuse(self, version: str | None) -> None:
        """Somebody goes back from a version: it is not tried again unasked."""
        book = self.book()
        self._keep(book.with_refused(version), book)

    def abandon_trial(self) -> bool:
        """An orderly reboot comes: what is pending is tried by it. Whether something is."""
        book = self.book()
        choice = self._choice(book)
        if choice.pending is None or choice.tried:
            return False
        tried = Choice(default=choice.default, pending=choice.pending, tried=True)
        if self._firmware.arms_reboots:
            self._choose(tried, book)
            self._firmware.arm()
        return True

    def accept_version(self) -> None:
        """Somebody has read what is refused, and why: it is no fault any more, and may be tried again."""
        book = self.book()
        self._keep(msgspec.structs.replace(book, refused=(), fell_back=None), book)

    def _choose(self, choice: Choice, book: SlotState) -> SlotState:
        """Tell the firmware, where it is another word than before, and keep what it needs kept."""
        try:
            if self._firmware.read(book) == choice:
                return book
        except Unreadable:
            pass
        return self._keep(self._firmware.write(choice, book), book)

    def _keep(self, fresh: SlotState, book: SlotState) -> SlotState:
        if fresh != book:
            self._write(self._folder, fresh)
        return fresh
