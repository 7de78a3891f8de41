"""All acts of the page at the pole, by name. `act_kinds` has the same names."""

from collections.abc import Mapping

from agent.pole_page.act import Act
from agent.pole_page.acts import box, cameras, commissioning, heads, scenes, updates

ACTS: Mapping[str, Act] = {
    **box.ACTS,
    **cameras.ACTS,
    **heads.ACTS,
    **scenes.ACTS,
    **commissioning.ACTS,
    **updates.ACTS,
}
