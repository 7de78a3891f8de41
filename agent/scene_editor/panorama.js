// A head's panorama as a map: from a point in a preset's picture to a direction, and from there to the panorama. Pure.
//
// The lens is that of agent/ptz/motion/field_of_view.py, the cylinder that of agent/ptz/panorama/stitch.py, which writes
// the geometry into the JPEG as Photo Sphere XMP. A test compares the three.

import { degrees, radians } from "./geometry.js";

const SOI = 0xffd8;
const XMP_MARKER = 0xffe1;
const FIRST_SCAN = 0xffda;
const MAX_SEGMENTS = 32;
const XMP_ID = "http://ns.adobe.com/xap/1.0/\0";
const MAX_FULL_WIDTH_PX = 1_000_000;
const MAX_PRESETS = 256;
/** A name of a preset or a camera. */
export const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** Steps of each edge of a preset's picture: straight edges are curves on the cylinder. */
const EDGE_STEPS = 16;

/** The presets of the answer of `vigie ptz preset list --json`: `[{ name, pan_deg, tilt_deg, zoom }]`, or null. */
export function readPresets(text) {
  let value = null;
  try {
    value = JSON.parse(text.trim().split("\n").at(-1));
  } catch {
    return null;
  }
  return listPresets(value?.presets ?? value?.result?.presets);
}

/** The same of a list that is parsed. */
export function listPresets(found) {
  if (!Array.isArray(found) || found.length === 0 || found.length > MAX_PRESETS) {
    return null;
  }
  const presets = found.map((preset) => ({
    name: preset?.name,
    pan_deg: preset?.pose?.pan_deg,
    tilt_deg: preset?.pose?.tilt_deg,
    zoom: preset?.pose?.zoom ?? 0,
  }));
  const isPreset = ({ name, pan_deg, tilt_deg, zoom }) =>
    typeof name === "string" && NAME.test(name) &&
    isBetween(pan_deg, -180, 180) && isBetween(tilt_deg, -90, 90) && isBetween(zoom, 0, 1);
  const isUnique = new Set(presets.map(({ name }) => name)).size === presets.length;
  return isUnique && presets.every(isPreset) ? presets : null;
}

/**
 * The geometry in a panorama's JPEG of `width_px`, or null if there is none that is whole:
 * `{ px_per_rad, full_px, left_px, horizon_px, fov: { wide, tele, aspect } }`, in pixels of this JPEG.
 */
export function readGeometry(bytes, width_px) {
  const packet = xmpPacket(bytes);
  if (packet === null) {
    return null;
  }
  const value = (key, high) => {
    const found = new RegExp(`[ \\n]${key}="([0-9]{1,7}(?:\\.[0-9]{1,9})?)"`).exec(packet);
    const number = found === null ? NaN : Number(found[1]);
    return number <= high ? number : NaN;
  };
  const [full_px, height_px, cropped_px, left_px, top_px] = [
    "GPano:FullPanoWidthPixels", "GPano:FullPanoHeightPixels", "GPano:CroppedAreaImageWidthPixels",
    "GPano:CroppedAreaLeftPixels", "GPano:CroppedAreaTopPixels",
  ].map((key) => value(key, MAX_FULL_WIDTH_PX));
  const fov = {
    wide: value("vigie:FovWideDeg", 170), tele: value("vigie:FovTeleDeg", 170), aspect: value("vigie:FovAspect", 4),
  };
  const all = [full_px, height_px, cropped_px, left_px, top_px, ...Object.values(fov)];
  const isWhole = packet.includes('GPano:ProjectionType="cylindrical"') && all.every(Number.isFinite) &&
    full_px > 0 && cropped_px > 0 && Object.values(fov).every((number) => number > 0);
  if (!isWhole) {
    return null;
  }
  const scale = width_px / cropped_px;
  return {
    px_per_rad: (full_px * scale) / (2 * Math.PI),
    full_px: full_px * scale,
    left_px: left_px * scale,
    horizon_px: (height_px / 2 - top_px) * scale,
    fov,
  };
}

/** The width of the picture at a zoom from 0 to 1, in degrees. */
export function horizontalFovDeg(fov, zoom) {
  const [wide, tele] = [fov.wide, fov.tele].map((end) => Math.tan(radians(end / 2)));
  return degrees(2 * Math.atan(wide * (tele / wide) ** zoom));
}

/** The direction of a point in a preset's picture, `{ pan_deg, tilt_deg }`; pan is not wrapped: within 180 of the pose. */
export function pointToDirection(fov, pose, [x, y]) {
  const half = Math.tan(radians(horizontalFovDeg(fov, pose.zoom) / 2));
  const [right, up] = [(x - 0.5) * 2 * half, ((0.5 - y) * 2 * half) / fov.aspect];
  const [sin, cos] = [Math.sin(radians(pose.tilt_deg)), Math.cos(radians(pose.tilt_deg))];
  const [depth, above] = [cos - sin * up, sin + cos * up];
  return {
    pan_deg: pose.pan_deg + degrees(Math.atan2(right, depth)),
    tilt_deg: degrees(Math.atan2(above, Math.hypot(right, depth))),
  };
}

/** The pixel of a direction in the panorama; its column is not wrapped: pan 0 is always at the same one. */
export function directionToPixel(geometry, { pan_deg, tilt_deg }) {
  const tilt = Math.min(75, Math.max(-75, tilt_deg));
  return [
    (radians(pan_deg) + Math.PI) * geometry.px_per_rad - geometry.left_px,
    geometry.horizon_px - Math.tan(radians(tilt)) * geometry.px_per_rad,
  ];
}

/** Points of a preset's picture on the panorama: once for each turn in which some of them are in its `width_px`. */
export function projectPoints(geometry, width_px, pose, points) {
  const pixels = points.map((point) => directionToPixel(geometry, pointToDirection(geometry.fov, pose, point)));
  const columns = pixels.map(([column]) => column);
  const copies = [];
  for (let turn = -2; turn <= 2; turn += 1) {
    const offset_px = turn * geometry.full_px;
    if (Math.max(...columns) + offset_px > 0 && Math.min(...columns) + offset_px < width_px) {
      copies.push(pixels.map(([column, row]) => [column + offset_px, row]));
    }
  }
  return copies;
}

/** Points along the edges of an area or a line, so that they can be bent. */
export function densify(points, isClosed) {
  const ends = isClosed ? [...points.slice(1), points[0]] : points.slice(1);
  const found = ends.flatMap(([x2, y2], index) => {
    const [x1, y1] = points[index];
    return Array.from({ length: EDGE_STEPS }, (_, step) => [
      x1 + ((x2 - x1) * step) / EDGE_STEPS, y1 + ((y2 - y1) * step) / EDGE_STEPS,
    ]);
  });
  return isClosed ? found : [...found, points.at(-1)];
}

/** The edge of a picture. */
export const PICTURE_EDGE = [[0, 0], [1, 0], [1, 1], [0, 1]];

/** The first XMP segment of a JPEG as text, or null. Only segments before the first scan are looked at. */
function xmpPacket(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== SOI) {
    return null;
  }
  let at = 2;
  for (let count = 0; count < MAX_SEGMENTS && at + 4 <= bytes.length; count += 1) {
    const marker = view.getUint16(at);
    const end = at + 2 + view.getUint16(at + 2);
    if (marker < 0xff00 || marker === FIRST_SCAN || end > bytes.length) {
      return null;
    }
    const content = new TextDecoder("latin1").decode(bytes.subarray(at + 4, end));
    if (marker === XMP_MARKER && content.startsWith(XMP_ID)) {
      return content.slice(XMP_ID.length);
    }
    at = end;
  }
  return null;
}

function isBetween(value, low, high) {
  return typeof value === "number" && value >= low && value <= high;
}
