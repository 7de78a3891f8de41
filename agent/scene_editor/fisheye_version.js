// The lens and the views of a fisheye camera as a file for `vigie configure BOX --merge`: agent/config/fisheye.py. Pure.
//
// The file has each key, so that it means the same whatever the box's own file has. Its text is made from the tables alone.

import { NAME } from "./panorama.js";

const OPTIONAL = ["field_of_view_deg", "focal_length", "aspect"];
const LENS_KEYS = ["axis_tilt_deg", "centre", "circle", "field_of_view_deg", "focal_length", "k", "aspect", "straight"];
const OPTION_KEYS = ["camera", "projection", "pan_deg", "tilt_deg", "field_of_view_deg", "width_px", "height_px"];

export const MAX_VIEW_PIXELS = 4_000_000;
export const MAX_LINES = 64;
/** Smallest and largest value, and step, of the numbers of a lens. */
export const LENS_RANGES = {
  axis_tilt_deg: [-90, 90, 0.1], field_of_view_deg: [60, 240, 0.1], circle: [0.2, 4, 0.001], focal_length: [0.05, 5, 0.0001], centre: [0, 1, 0.0001], k: [-1, 1, 0.00001],
};

/** The same of a view. */
export function viewRanges({ projection }) {
  const isFlat = projection === "flat";
  const tilt_deg = isFlat ? 90 : 75;
  return {
    pan_deg: [-180, 180, 0.1], tilt_deg: [-tilt_deg, tilt_deg, 0.1], field_of_view_deg: [10, isFlat ? 150 : 360, 0.1], width_px: [64, 4096, 2], height_px: [64, 4096, 2],
  };
}

/** What a view gets in addition to its direction when it is added, or its projection is changed. */
export const NEW_VIEW = {
  flat: { projection: "flat", field_of_view_deg: 90, width_px: 960, height_px: 720 },
  panorama: { projection: "panorama", field_of_view_deg: 360, width_px: 1920, height_px: 480 },
};

/** Whether a name is one for another view: neither that of the camera nor of a view. */
export function isFreeName(name, camera, views) {
  return NAME.test(name) && name !== camera && views.every((view) => view.name !== name);
}

/** The tables of the file. `lens` and each view's `options` have the keys of the configuration; null is left out. */
export function versionTables(camera, lens, views) {
  const whole = (table, keys) => Object.fromEntries(keys.filter((key) => table[key] !== null && table[key] !== undefined).map((key) => [key, table[key]]));
  const entries = views.map(({ name, options }) => [name, { driver: "view", record: false, options: whole({ ...options, camera }, OPTION_KEYS) }]);
  return { settings: { camera: Object.fromEntries([[camera, { lens: whole(lens, LENS_KEYS) }], ...entries]) } };
}

/** The lens and the views of tables: `{ lens, views: [{ name, options }] }`. */
export function readTables(tables, camera) {
  const cameras = tables.settings.camera;
  const views = Object.entries(cameras).filter(([name]) => name !== camera).map(([name, { options }]) => ({ name, options }));
  return { lens: cameras[camera].lens, views };
}

/** The text of tables. `known` are the names of views that the box may have: those that are not in the tables are taken away. */
export function versionText(tables, camera, known) {
  const { lens, views } = readTables(tables, camera);
  const left = new Set(views.map(({ name }) => name));
  const unset = [
    ...OPTIONAL.filter((key) => lens[key] === undefined).map((key) => `camera.${camera}.lens.${key}`),
    ...known.filter((name) => !left.has(name)).map((name) => `camera.${name}`),
  ];
  const keys = LENS_KEYS.filter((key) => lens[key] !== undefined && key !== "straight").map((key) => `${key} = ${tomlValue(lens[key])}`);
  const lines = lens.straight.map((line) => `  ${tomlValue(line)},\n`).join("");
  const blocks = views.map(({ name, options }) => [
    `[settings.camera.${name}]`, 'driver = "view"', "record = false",
    `options = { ${OPTION_KEYS.map((key) => `${key} = ${tomlValue(options[key])}`).join(", ")} }`, "",
  ].join("\n"));
  const begin = unset.length ? `unset = ${tomlValue(unset)}\n\n` : "";
  return [`${begin}[settings.camera.${camera}.lens]\n${keys.join("\n")}\nstraight = [${lines && `\n${lines}`}]\n`, ...blocks].join("\n");
}

/** A number, a list of values, or a text of characters that need no escape. */
function tomlValue(value) {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(", ")}]`;
  return typeof value === "string" ? `"${value}"` : String(value);
}
