// Snapping of a point to a corner, to an edge of the picture, or to the level of the point before it. Pure.

import { roundPoint } from "./geometry.js";

const RADIUS_PX = 10;
const TOUCH_RADIUS_PX = 18;
const ALIGN_PX = 6;

/**
 * The point that `point` is snapped to. `corners` are points to snap to, `previous` is the point before it or null, `scale` is
 * `{ x, y }`: screen pixels by the picture's width and height.
 */
export function snapPoint(point, { corners, previous, scale, isTouch }) {
  const radius = isTouch ? TOUCH_RADIUS_PX : RADIUS_PX;
  const distance = (other) => Math.hypot((other[0] - point[0]) * scale.x, (other[1] - point[1]) * scale.y);
  let nearest = null;
  for (const corner of corners) {
    if (distance(corner) <= radius && (!nearest || distance(corner) < distance(nearest))) nearest = corner;
  }
  if (nearest) return [...nearest];
  const sides = [scale.x, scale.y];
  const snapped = point.map((value, axis) => {
    if (Math.abs(value) * sides[axis] <= radius) return 0;
    if (Math.abs(1 - value) * sides[axis] <= radius) return 1;
    if (previous && Math.abs(value - previous[axis]) * sides[axis] <= ALIGN_PX && distance(previous) > radius) return previous[axis];
    return value;
  });
  return roundPoint(snapped);
}
