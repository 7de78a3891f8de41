// Fisheye lens: where a ray is seen, which ray is seen at a point, and the rays of a dewarped view: agent/detection/fisheye_lens.py,
// step by step. Pure.
//
// Rays are [x, y, z], of the camera or of the street as there. A lens is { focalLength, centre: [x, y], k: [k1, k2, k3, k4],
// axisTiltDeg }; a view has the keys of `options` in the configuration. Null is returned in place of NaN.

import { clamp, degrees, radians } from "./geometry.js";

const STEPS = 512;
const NEWTON_STEPS = 3;
const tables = new WeakMap();

/** The largest angle from the axis that is seen at one point alone. */
export function maxAngle(lens) { return tableOf(lens).maxAngle; }

/** The point of a picture of this width by height that sees a ray of the camera, or null. */
export function projectRay(lens, [x, y, z], aspect) {
  const across = Math.hypot(x, y);
  const angle = Math.atan2(across, z);
  if (!(angle <= maxAngle(lens))) return null;
  const scale = lens.focalLength * bent(lens, angle) / Math.max(across, 1e-12);
  return [lens.centre[0] + x * scale / aspect, lens.centre[1] + y * scale];
}

/** The ray of the camera, of length 1, that is seen at a point, or null. */
export function unprojectPoint(lens, [pointX, pointY], aspect) {
  const [x, y] = [(pointX - lens.centre[0]) * aspect, pointY - lens.centre[1]];
  const fromCentre = Math.hypot(x, y);
  const seen = fromCentre / lens.focalLength;
  let angle = interpolate(tableOf(lens), seen);
  if (angle === null) return null;
  for (let step = 0; step < NEWTON_STEPS; step += 1) angle -= (bent(lens, angle) - seen) / Math.max(slope(lens, angle), 1e-9);
  const across = Math.sin(angle) / Math.max(fromCentre, 1e-12);
  return [x * across, y * across, Math.cos(angle)];
}

/** A ray of the street in the axes of the camera. */
export function toCamera(lens, [right, up, ahead]) {
  const [sin, cos] = [Math.sin(radians(lens.axisTiltDeg)), Math.cos(radians(lens.axisTiltDeg))];
  return [right, sin * ahead - cos * up, cos * ahead + sin * up];
}

/** A ray of the camera in the axes of the street. */
export function toStreet(lens, [right, down, ahead]) {
  const [sin, cos] = [Math.sin(radians(lens.axisTiltDeg)), Math.cos(radians(lens.axisTiltDeg))];
  return [right, sin * ahead - cos * down, cos * ahead + sin * down];
}

/** The ray of the street at a point of a view. */
export function viewRay(view, [x, y]) {
  const [pan, tilt] = [radians(view.pan_deg), radians(view.tilt_deg)];
  const halfHeight = view.height_px / view.width_px / 2;
  if (view.projection === "panorama") {
    const width = radians(view.field_of_view_deg);
    return directionRay(pan + (x - 0.5) * width, Math.atan(Math.sinh(Math.asinh(Math.tan(tilt)) - (y - 0.5) * 2 * halfHeight * width)));
  }
  const halfWidth = Math.tan(radians(view.field_of_view_deg) / 2);
  const right = (2 * x - 1) * halfWidth;
  const up = -(2 * y - 1) * 2 * halfHeight * halfWidth;
  const level = Math.cos(tilt) - up * Math.sin(tilt);
  return [
    level * Math.sin(pan) + right * Math.cos(pan),
    Math.sin(tilt) + up * Math.cos(tilt),
    level * Math.cos(pan) - right * Math.sin(pan),
  ];
}

function directionRay(pan, tilt) {
  return [Math.cos(tilt) * Math.sin(pan), Math.sin(tilt), Math.cos(tilt) * Math.cos(pan)];
}

/** The point of the fisheye picture that a point of a view shows, or null. */
export function viewPoint(lens, view, point, aspect) {
  return projectRay(lens, toCamera(lens, viewRay(view, point)), aspect);
}

/** The pan and the tilt in degrees of the ray that is seen at a point of the fisheye picture, or null. */
export function directionAt(lens, point, aspect) {
  const ray = unprojectPoint(lens, point, aspect);
  if (ray === null) return null;
  const [right, up, ahead] = toStreet(lens, ray);
  return { pan_deg: degrees(Math.atan2(right, ahead)), tilt_deg: degrees(Math.asin(clamp(up, -1, 1))) };
}

/** The point of a view that shows a point of the fisheye picture: outside of 0..1 if the view does not; null behind it. */
export function pointInView(lens, view, point, aspect) {
  const ray = unprojectPoint(lens, point, aspect);
  if (ray === null) return null;
  const [right, up, ahead] = toStreet(lens, ray);
  const [pan, tilt] = [radians(view.pan_deg), radians(view.tilt_deg)];
  const halfHeight = view.height_px / view.width_px / 2;
  const level = right * Math.sin(pan) + ahead * Math.cos(pan);
  const off = right * Math.cos(pan) - ahead * Math.sin(pan);
  if (view.projection === "panorama") {
    const width = radians(view.field_of_view_deg);
    const lower = Math.asinh(Math.tan(tilt)) - Math.asinh(up / Math.hypot(right, ahead));
    return [0.5 + Math.atan2(off, level) / width, 0.5 + lower / (2 * halfHeight * width)];
  }
  const depth = level * Math.cos(tilt) + up * Math.sin(tilt);
  if (depth <= 0) return null;
  const scale = 0.5 / (depth * Math.tan(radians(view.field_of_view_deg) / 2));
  const rise = up * Math.cos(tilt) - level * Math.sin(tilt);
  return [0.5 + off * scale, 0.5 - rise * scale / (2 * halfHeight)];
}

/** The field of view in degrees at which the left or the right edge of a view passes through a point; null behind the view. */
export function fieldOfViewThrough(lens, view, point, aspect) {
  const at = pointInView(lens, view, point, aspect);
  if (at === null) return null;
  const share = 2 * Math.abs(at[0] - 0.5);
  if (view.projection === "panorama") return share * view.field_of_view_deg;
  return 2 * degrees(Math.atan(share * Math.tan(radians(view.field_of_view_deg) / 2)));
}

const bent = ({ k: [k1, k2, k3, k4] }, angle) => {
  const square = angle * angle;
  return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))));
};

const slope = ({ k: [k1, k2, k3, k4] }, angle) => {
  const square = angle * angle;
  return 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)));
};

/** Angles up to the largest one, and where they are seen. Lenses do not change. */
function tableOf(lens) {
  let table = tables.get(lens);
  if (!table) {
    const turn = Array.from({ length: STEPS }, (_, index) => Math.PI * index / (STEPS - 1));
    const falling = turn.findIndex((angle) => slope(lens, angle) <= 0);
    const largest = falling < 0 ? Math.PI : turn[Math.max(0, falling - 1)];
    const angles = turn.map((angle) => angle * largest / Math.PI);
    table = { maxAngle: largest, angles, seen: angles.map((angle) => bent(lens, angle)) };
    tables.set(lens, table);
  }
  return table;
}

function interpolate({ angles, seen }, value) {
  if (!(value <= seen.at(-1))) return null;
  let [low, high] = [0, STEPS - 1];
  while (high - low > 1) {
    const between = (low + high) >> 1;
    if (seen[between] <= value) low = between;
    else high = between;
  }
  const width = seen[high] - seen[low];
  return width > 0 ? angles[low] + (angles[high] - angles[low]) * (value - seen[low]) / width : angles[low];
}
