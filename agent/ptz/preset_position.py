"""At which of its presets a head is, and how far its picture may lie beside the one that was drawn on
there.
"""

from agent.base.model import ShiftTolerance
from agent.ptz.connection import HeadConnection
from agent.ptz.masked_presets import MaskedPresets, PresetEvidence
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.motion_controller import MotionController, is_near
from agent.ptz.preset_store import Preset, PresetStore


class PresetPosition:
    """Of one head. Any thread may ask.

    A preset that masks were drawn at is held to more than the others: it is one concept for
    everybody, so that a tour and the way home send the head there again where its picture would
    stay hidden.
    """

    def __init__(
        self,
        preset_store: PresetStore,
        masked_presets: MaskedPresets,
        controller: MotionController,
        connection: HeadConnection,
    ) -> None:
        self._preset_store = preset_store
        self._masked_presets = masked_presets
        self._controller = controller
        self._connection = connection

    def current_preset(self) -> str | None:
        """The preset at which the head is, which rests: the one it was sent to, or one that it is
        known to be at.
        """
        presets = sorted(
            self._preset_store.all(),
            key=lambda each: (
                each.name != self._controller.arrived_preset,
                each.name not in self._masked_presets,
            ),
        )
        return next((each.name for each in presets if self.is_at(each)), None)

    def is_at(self, preset: Preset) -> bool:
        """Whether the head, which rests, is at a preset."""
        controller, capabilities = self._controller, self._connection.capabilities
        position = controller.position
        if preset.name in self._masked_presets:
            return capabilities is not None and self._masked_presets.is_at(
                preset.pose, position, capabilities, self._evidence_for(preset.name)
            )
        is_position_unknown = position is None or position.error_deg >= UNKNOWN_POSITION_DEG
        if is_position_unknown and preset.name == controller.arrived_preset:
            return True
        return is_near(position, preset.pose, self._connection)

    def shift_tolerance(self, name: str | None) -> ShiftTolerance | None:
        """How far the picture at a preset may have shifted, None where no masks were drawn there and
        nobody looks at that.
        """
        preset, capabilities = self._preset_store.find(name), self._connection.capabilities
        if preset is None or capabilities is None or preset.name not in self._masked_presets:
            return None
        return self._masked_presets.shift_tolerance(preset.pose, capabilities)

    def _evidence_for(self, preset: str) -> PresetEvidence:
        if self._controller.arrived_device_preset == preset:
            return "remembered"
        return "unmoved" if self._controller.is_unmoved_from(preset) else "moved"
