"""Two slots, and what may happen to them. Each write leaves a box that boots the old or the new.

The default changes in one way only: the slot that runs was found good. An installed slot is pending, and
is tried once; whatever becomes of it, the boot after that is the default again. Decision 13 has the
reasons.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base import slot_state
from agent.base.slot_state import FailedTrial, InstallInProgress, Slot, SlotRecord, SlotState
from agent.update.bootloader import BootConfigUnreadable, Bootloader, BootSelection, other_slot
from agent.update.errors import UpdateError

log = logging.getLogger(__name__)


class SlotRefused(UpdateError):
    """What was asked for would leave a box without a system that works."""


class Slots:
    """The slots of a box that runs from `current`."""

    def __init__(
        self,
        bootloader: Bootloader,
        folder: Path,
        booted: Slot,
        write_state: Callable[[Path, SlotState], None] = slot_state.write,
    ) -> None:
        """`folder` is where the book lies."""
        self._bootloader = bootloader
        self._folder = folder
        self._write_state = write_state
        self.booted = booted

    @property
    def bootloader_name(self) -> str:
        """Which way this box has."""
        return self._bootloader.name

    def read_state(self) -> SlotState:
        """What is known."""
        return slot_state.read(self._folder)

    def read_selection(self) -> BootSelection:
        """What boots. Where the firmware's file says nothing, it is what runs now."""
        return self._read_selection(self.read_state())

    def _read_selection(self, state: SlotState) -> BootSelection:
        try:
            return self._bootloader.read(state)
        except BootConfigUnreadable as error:
            log.warning("%s; taken as the default: %s, which runs", error, self.booted)
            return BootSelection(default=self.booted)

    def is_on_trial(self) -> bool:
        """Whether the system that runs is being tried, and leaves for the default unless it is good."""
        selection = self.read_selection()
        if self.booted == selection.default:
            return False
        return selection.pending == self.booted or self._bootloader.is_trial_boot()

    def get_primary(self) -> Slot:
        """What boots next."""
        return self.read_selection().next_slot

    def get_state(self, slot: Slot) -> str:
        """As RAUC wants it: good or bad."""
        return "bad" if self.read_state().slot(slot).state == "bad" else "good"

    def set_primary(self, slot: Slot) -> None:
        """Try it at the next boot; the default itself: try nothing."""
        state = self.read_state()
        selection = self._read_selection(state)
        if slot == selection.default:
            state = self._write_selection(BootSelection(default=slot), state)
            if slot == self.booted:
                # Who went back from it has thought better of it.
                self._save_if_changed(state.without_refused(state.slot(slot).version), state)
            return
        record = state.slot(slot)
        if record.state == "bad":
            record = msgspec.structs.replace(record, state="installed")
        if state.installing is not None and state.installing.slot == slot:
            record = msgspec.structs.replace(record, version=state.installing.version)
        state = msgspec.structs.replace(
            state.with_slot(slot, record), installing=None, came_up=None
        )
        self._write_state(self._folder, state)
        self._write_selection(BootSelection(default=selection.default, pending=slot), state)

    def set_state(self, slot: Slot, *, good: bool) -> None:
        """RAUC's word on a slot. Raises CommandRejected."""
        if good:
            self._mark_good(slot)
        else:
            self._mark_bad(slot)

    def _mark_good(self, slot: Slot) -> None:
        state = self.read_state()
        selection = self._read_selection(state)
        if slot == self.booted != selection.default:
            # The one write by which a default ever changes. What the book says follows from it.
            state = self._write_selection(BootSelection(default=slot), state)
        record = msgspec.structs.replace(state.slot(slot), state="good")
        updated = state.with_slot(slot, record)
        if slot == self.booted:
            failed_trial = updated.failed_trial
            # Where the power was cut within this very order, the slot is the default already.
            if slot != selection.default or (
                failed_trial is not None and failed_trial.slot == slot
            ):
                updated = msgspec.structs.replace(updated, failed_trial=None)
            if selection.pending in (None, slot):
                # Where another waits, somebody may be going back from this one: it stays refused.
                updated = updated.without_refused(record.version)
        self._save_if_changed(updated, state)

    def _mark_bad(self, slot: Slot) -> None:
        state = self.read_state()
        selection = self._read_selection(state)
        if slot == selection.default:
            raise SlotRefused(
                f"slot {slot} is the default: it stays until another has proved itself"
                + ("" if slot == self.booted else f"; what runs, {self.booted}, has not yet")
            )
        if selection.pending == slot and not selection.tried:
            # First of all: a slot that is being written must not be tried.
            state = self._write_selection(BootSelection(default=selection.default), state)
        version = state.slot(slot).version if slot == self.booted else None
        self._save_if_changed(
            state.with_slot(slot, SlotRecord(state="bad", version=version)), state
        )

    def begin_install(self, version: str) -> None:
        """What RAUC is going to write into the slot that does not run."""
        state = self.read_state()
        install = InstallInProgress(slot=other_slot(self.booted), version=version)
        self._save_if_changed(msgspec.structs.replace(state, installing=install), state)

    def record_boot(self, version: str | None, now: str) -> FailedTrial | None:
        """Once after a boot: what became of the trial. The fall-back that was found, if any."""
        state = self.read_state()
        selection = self._read_selection(state)
        record = msgspec.structs.replace(state.slot(self.booted), version=version)
        if self.booted != selection.default:
            if self.is_on_trial():
                log.info("slot %s is on trial; the default is %s", self.booted, selection.default)
                updated = state.with_slot(self.booted, record)
                self._save_if_changed(msgspec.structs.replace(updated, came_up=self.booted), state)
            else:
                log.warning("slot %s stands in for %s", self.booted, selection.default)
                self._save_if_changed(state.with_slot(self.booted, record), state)
            return None
        updated = state.with_slot(self.booted, msgspec.structs.replace(record, state="good"))
        pending = selection.pending
        if pending is None or not selection.tried:
            self._write_selection(selection, self._save_if_changed(updated, state))
            return None
        tried_record = updated.slot(pending)
        failed_trial = FailedTrial(
            version=tried_record.version,
            slot=pending,
            time=now,
            reason="it came up and did not prove itself"
            if updated.came_up == pending
            else "it did not come up, or the power was cut",
        )
        updated = updated.with_slot(pending, msgspec.structs.replace(tried_record, state="bad"))
        updated = updated.with_refused(tried_record.version)
        updated = msgspec.structs.replace(updated, failed_trial=failed_trial, came_up=None)
        # The book first: cut in between, the next boot finds the same again.
        self._write_selection(
            BootSelection(default=selection.default), self._save_if_changed(updated, state)
        )
        return failed_trial

    def refuse_version(self, version: str | None) -> None:
        """Somebody goes back from a version: it is not tried again unasked."""
        state = self.read_state()
        self._save_if_changed(state.with_refused(version), state)

    def arm_trial(self) -> bool:
        """An orderly reboot comes: what is pending is tried by it. Whether something is."""
        state = self.read_state()
        selection = self._read_selection(state)
        if selection.pending is None or selection.tried:
            return False
        tried_selection = BootSelection(
            default=selection.default, pending=selection.pending, tried=True
        )
        if self._bootloader.needs_arming:
            self._write_selection(tried_selection, state)
            self._bootloader.arm_trial()
        return True

    def clear_refused_versions(self) -> None:
        """Somebody has read what is refused, and why: it is no fault any more, and may be tried again."""
        state = self.read_state()
        self._save_if_changed(msgspec.structs.replace(state, refused=(), failed_trial=None), state)

    def _write_selection(self, selection: BootSelection, state: SlotState) -> SlotState:
        """Tell the firmware, where it is another word than before, and keep what it needs kept."""
        try:
            if self._bootloader.read(state) == selection:
                return state
        except BootConfigUnreadable:
            pass
        return self._save_if_changed(self._bootloader.write(selection, state), state)

    def _save_if_changed(self, updated: SlotState, previous: SlotState) -> SlotState:
        if updated != previous:
            self._write_state(self._folder, updated)
        return updated
