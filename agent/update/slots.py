"""State machine of the two slots. Each write leaves a box that boots the old or the new one.

The default changes in one way only: the booted slot was found good. An installed slot is pending, and is
tried once; whatever its outcome, the next boot is the default again. See decision 13.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base import slot_state
from agent.base.slot_state import (
    FailedTrial,
    InstallInProgress,
    Slot,
    SlotRecord,
    SlotState,
    TrialFailure,
)
from agent.update.bootloader import BootConfigUnreadable, Bootloader, BootSelection, other_slot
from agent.update.errors import UpdateError

log = logging.getLogger(__name__)


class SlotRefused(UpdateError):
    """The call would leave the box without a working system."""


class Slots:
    """The slots of a box that has booted from `booted`. `folder` holds the state file."""

    def __init__(
        self,
        bootloader: Bootloader,
        folder: Path,
        booted: Slot,
        write_state: Callable[[Path, SlotState], None] = slot_state.write,
    ) -> None:
        self._bootloader = bootloader
        self._folder = folder
        self._write_state = write_state
        self.booted = booted

    @property
    def bootloader_name(self) -> str:
        """Name of this box's bootloader."""
        return self._bootloader.name

    def read_state(self) -> SlotState:
        """Read the state file."""
        return slot_state.read(self._folder)

    def read_selection(self) -> BootSelection:
        """Read which slot boots; the booted one if the bootloader's file is unreadable."""
        return self._read_selection(self.read_state())

    def _read_selection(self, state: SlotState) -> BootSelection:
        try:
            return self._bootloader.read(state)
        except BootConfigUnreadable as error:
            log.warning("%s; the default is taken to be %s, which is booted", error, self.booted)
            return BootSelection(default=self.booted)

    def is_on_trial(self) -> bool:
        """Return whether the booted slot is on trial: the default returns unless it is found good."""
        selection = self.read_selection()
        if self.booted == selection.default:
            return False
        return selection.pending == self.booted or self._bootloader.is_trial_boot()

    def check_trial_possible(self) -> None:
        """Raise SlotRefused if the firmware cannot try the other slot."""
        problem = self._bootloader.find_trial_problem()
        if problem is not None:
            raise SlotRefused(problem)

    def get_primary(self) -> Slot:
        """Return the slot that boots next."""
        return self.read_selection().next_slot

    def get_state(self, slot: Slot) -> str:
        """Return a slot's state in RAUC's terms: good or bad."""
        return "bad" if self.read_state().slot(slot).state == "bad" else "good"

    def set_primary(self, slot: Slot) -> None:
        """Try a slot at the next boot; the default itself cancels a pending trial. Raises: SlotRefused."""
        state = self.read_state()
        selection = self._read_selection(state)
        if slot == selection.default:
            state = self._write_selection(BootSelection(default=slot), state)
            if slot == self.booted:
                # A rollback from this version is cancelled: it is no longer refused.
                self._save_if_changed(state.without_refused(state.slot(slot).version), state)
            return
        self.check_trial_possible()
        record = state.slot(slot)
        if record.state == "bad":
            record = msgspec.structs.replace(record, state="installed")
        if state.installing is not None and state.installing.slot == slot:
            record = msgspec.structs.replace(record, version=state.installing.version)
        state = msgspec.structs.replace(
            state.with_slot(slot, record), installing=None, came_up=None, was_stopped=False
        )
        self._write_state(self._folder, state)
        self._write_selection(BootSelection(default=selection.default, pending=slot), state)

    def set_state(self, slot: Slot, *, good: bool) -> None:
        """Record RAUC's mark of a slot. Raises: SlotRefused."""
        if good:
            self._mark_good(slot)
        else:
            self._mark_bad(slot)

    def _mark_good(self, slot: Slot) -> None:
        state = self.read_state()
        selection = self._read_selection(state)
        if slot == self.booted != selection.default:
            # The only write that ever changes the default. The state file follows it.
            state = self._write_selection(BootSelection(default=slot), state)
        record = msgspec.structs.replace(state.slot(slot), state="good")
        updated = state.with_slot(slot, record)
        if slot == self.booted:
            failed_trial = updated.failed_trial
            # After a power cut within this call the slot is the default already.
            if slot != selection.default or (
                failed_trial is not None and failed_trial.slot == slot
            ):
                updated = msgspec.structs.replace(updated, failed_trial=None)
            if selection.pending in (None, slot):
                # With another slot pending this may be a rollback from this version: it stays refused.
                updated = updated.without_refused(record.version)
            updated = msgspec.structs.replace(updated, came_up=None, was_stopped=False)
        self._save_if_changed(updated, state)

    def _mark_bad(self, slot: Slot) -> None:
        state = self.read_state()
        selection = self._read_selection(state)
        if slot == selection.default:
            raise SlotRefused(
                f"slot {slot} is the default: it stays until another slot is found good"
                + ("" if slot == self.booted else f"; the booted slot {self.booted} is not yet")
            )
        if selection.pending == slot and not selection.tried:
            # Before anything else: a slot that is being written must not be tried.
            state = self._write_selection(BootSelection(default=selection.default), state)
        version = state.slot(slot).version if slot == self.booted else None
        self._save_if_changed(
            state.with_slot(slot, SlotRecord(state="bad", version=version)), state
        )

    def begin_install(self, version: str) -> None:
        """Record the version that RAUC is about to write into the other slot."""
        state = self.read_state()
        install = InstallInProgress(slot=other_slot(self.booted), version=version)
        self._save_if_changed(msgspec.structs.replace(state, installing=install), state)

    def record_boot(self, version: str | None, now: str) -> FailedTrial | None:
        """Record a boot, once, and return the failed trial that it reveals, if any."""
        state = self.read_state()
        selection = self._read_selection(state)
        record = msgspec.structs.replace(state.slot(self.booted), version=version)
        if self.booted != selection.default:
            if self.is_on_trial():
                log.info("slot %s is on trial; the default is %s", self.booted, selection.default)
                updated = state.with_slot(self.booted, record)
                self._save_if_changed(msgspec.structs.replace(updated, came_up=self.booted), state)
            else:
                log.warning(
                    "slot %s was started instead of the default %s", self.booted, selection.default
                )
                self._save_if_changed(state.with_slot(self.booted, record), state)
            return None
        updated = state.with_slot(self.booted, msgspec.structs.replace(record, state="good"))
        pending = selection.pending
        if pending is None or not selection.tried:
            self._write_selection(selection, self._save_if_changed(updated, state))
            return None
        tried_record = updated.slot(pending)
        failed_trial = FailedTrial(
            version=tried_record.version, slot=pending, time=now, reason=_reason(updated, pending)
        )
        updated = updated.with_slot(pending, msgspec.structs.replace(tried_record, state="bad"))
        updated = updated.with_refused(tried_record.version)
        updated = msgspec.structs.replace(
            updated, failed_trial=failed_trial, came_up=None, was_stopped=False
        )
        # The state file first: after a cut in between, the next boot finds the same again.
        self._write_selection(
            BootSelection(default=selection.default), self._save_if_changed(updated, state)
        )
        return failed_trial

    def refuse_version(self, version: str | None) -> None:
        """Refuse a version after a rollback: only a request installs it again."""
        state = self.read_state()
        self._save_if_changed(state.with_refused(version), state)

    def arm_trial(self) -> bool:
        """Make the coming reboot the trial of the pending slot; return False if none is pending."""
        state = self.read_state()
        selection = self._read_selection(state)
        if selection.pending is None or selection.tried:
            return False
        tried_selection = BootSelection(
            default=selection.default, pending=selection.pending, tried=True
        )
        self._write_selection(tried_selection, state)
        self._bootloader.arm_trial()
        return True

    def record_stop(self) -> None:
        """Record that the system stops in order: a trial that ends without this lost its power or crashed."""
        state = self.read_state()
        if state.came_up == self.booted:
            self._save_if_changed(msgspec.structs.replace(state, was_stopped=True), state)

    def clear_refused_versions(self) -> None:
        """Clear the refused versions and the failed trial, once a person has accepted them."""
        state = self.read_state()
        self._save_if_changed(msgspec.structs.replace(state, refused=(), failed_trial=None), state)

    def _write_selection(self, selection: BootSelection, state: SlotState) -> SlotState:
        """Write the selection if it has changed, and save the state that the bootloader needs with it."""
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


def _reason(state: SlotState, tried: Slot) -> TrialFailure:
    """Return why the slot was not found good, as far as the state file shows it."""
    if state.came_up != tried:
        return "not booted"
    return "not good" if state.was_stopped else "power lost"
