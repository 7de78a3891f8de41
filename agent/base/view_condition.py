"""Condition of a camera's view: whether its pictures can show road users, and if not, why not. Pure.

`agent.detection.view_monitor` diagnoses it over time. Events, faults, the health report, the console, the page at the
pole and the centre use that diagnosis.
"""

from typing import Literal, get_args

import msgspec

from drivers.int64 import Int64

ViewState = Literal["good", "dark", "frozen", "blocked", "blurred", "moved", "glare", "low_light"]
"""The state of a view. The first that applies counts, from `dark` on.

good      none of the others
dark      CAM-07: nothing in the picture is lit: a capped lens, or a night without any light
frozen    CAM-07: the same picture comes again and again, to the last bit of noise
blocked   CAM-07: the picture is flat, or the edges of half the view are missing
blurred   CAM-07: edges are soft, absolutely or compared with the learnt view
moved     CAM-07: edges are not where they were in the learnt view
glare     CAM-08: a quarter of the picture is white
low_light CAM-08: too little light to see road users by
"""

Light = Literal["day", "night"]
"""The light of a view: at night lamps are its brightest parts, whether the street is lit or not."""

ViewLimit = Literal[
    "frozen",
    "blocked",
    "moved",
    "glare",
    "dark",
    "low_contrast",
    "rain",
    "blurred",
    "shaken",
    "frame_rate",
    "lens",
    "small",
    "flat",
]
"""A limit of a view: why road users are missed in it, so that its counts are not to be trusted.

frozen       the same picture comes again and again
blocked      the view is covered
moved        the camera looks elsewhere than its scene was drawn for
glare        a quarter of the picture is white
dark         too little light
low_contrast light and dark are too near to each other, as in fog
rain         rain or snow hides what is behind it
blurred      edges are soft
shaken       the picture shakes
frame_rate   too few pictures a second
lens         the lens bends what is straight too much
small        road users are too few pixels high
flat         the street is seen at too flat an angle, so that road users hide each other
"""
VIEW_LIMITS: tuple[ViewLimit, ...] = get_args(ViewLimit)

FlowLimit = Literal[ViewLimit, "camera_lost", "scene_mismatch"]
"""Why the counts of a flow from one camera to another are not to be trusted: a limit of one of both views, or one of these.

camera_lost     the other camera gives no pictures, or nothing is detected on them
scene_mismatch  a scene in force has no such line or zone, or no ground with positions
"""
FLOW_LIMITS: tuple[FlowLimit, ...] = get_args(FlowLimit)


class ViewCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a view, since when it lasts, and the measures of the newest picture.

    `sharpness` is 0 to about 0.8, and blurred below 0.57; None if the picture has too few edges or is too small.
    `limits`: why counts are not to be trusted now, in the order of VIEW_LIMITS; none if they are.
    """

    state: ViewState
    since_ns: Int64
    mean_luma: float
    sharpness: float | None
    limits: tuple[ViewLimit, ...] = ()
