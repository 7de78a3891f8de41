"""At which of its presets a head is, and how far its picture may lie beside the one that was drawn on
there.
"""

from agent.base.model import ShiftTolerance
from agent.ptz.connection import HeadConnection
from agent.ptz.masked_presets import MaskedPresets, Stillness
from agent.ptz.motion.forbidden_sectors import NOBODY_KNOWS_DEG
from agent.ptz.motion_controller import MotionController, is_near
from agent.ptz.presets import Preset, Presets


class PresetPosition:
    """Of one head. Any thread may ask.

    A preset that masks were drawn at is held to more than the others: it is one concept for
    everybody, so that a tour and the way home send the head there again where its picture would
    stay hidden.
    """

    def __init__(
        self, presets: Presets, drawn: MaskedPresets, helm: MotionController, link: HeadConnection
    ) -> None:
        self._presets = presets
        self._drawn = drawn
        self._helm = helm
        self._link = link

    def preset(self) -> str | None:
        """The preset at which the head is, which rests: the one it was sent to, or one that it is
        known to be at.
        """
        presets = sorted(
            self._presets.all(),
            key=lambda each: (each.name != self._helm.arrived_at, each.name not in self._drawn),
        )
        return next((each.name for each in presets if self.is_at(each)), None)

    def is_at(self, preset: Preset) -> bool:
        """Whether the head, which rests, is at a preset."""
        helm, abilities = self._helm, self._link.abilities
        position = helm.position
        if preset.name in self._drawn:
            return abilities is not None and self._drawn.is_at(
                preset.pose, position, abilities, self._stillness(preset.name)
            )
        lost = position is None or position.error_deg >= NOBODY_KNOWS_DEG
        if lost and preset.name == helm.arrived_at:
            return True
        return is_near(position, preset.pose, self._link)

    def leeway(self, name: str | None) -> ShiftTolerance | None:
        """How far the picture at a preset may have shifted, None where no masks were drawn there and
        nobody looks at that.
        """
        preset, abilities = self._presets.find(name), self._link.abilities
        if preset is None or abilities is None or preset.name not in self._drawn:
            return None
        return self._drawn.leeway(preset.pose, abilities)

    def _stillness(self, preset: str) -> Stillness:
        if self._helm.remembered == preset:
            return "remembered"
        return "unmoved" if self._helm.is_unmoved_from(preset) else "moved"
