// Lines and zones that a scene gives in metres, placed on its picture, as agent/detection/scene_metres.py. Pure.

import { isSelfIntersecting } from "./geometry.js";
import { calibrate, placeLine, placePolygon } from "./ground.js";
import { GroundError } from "./ground_error.js";

const PARTS = { line: { from_m: "from", to_m: "to" }, zone: { polygon_m: "polygon" } };

/** Whether a table of a list has its place in metres. */
export const isInMetres = (list, table) => Object.keys(PARTS[list] ?? {}).some((key) => Object.hasOwn(table ?? {}, key));

/**
 * Place everything that is in metres. Returns the tables with `from`, `to` and `polygon` next to those keys, and the
 * mistakes that prevent it. `findMistake(key, value, path)` returns the first mistake of a value that is needed, as `{ path, text }`.
 */
export function placeMetres(tables, findMistake) {
  const errors = [];
  const placed = { ...tables };
  const ground = readGround(tables, findMistake);
  for (const [list, keys] of Object.entries(PARTS)) {
    if (!Array.isArray(tables[list])) continue;
    placed[list] = tables[list].map((table, index) => {
      if (typeof table !== "object" || Array.isArray(table) || !isInMetres(list, table)) return table;
      const mistake = findKeyMistake(table, keys, [list, index]) ?? ground.mistake ?? findMistake(list, table, [list, index]);
      if (!mistake) {
        const found = placeTable(ground.plane, list, table, [list, index]);
        if (!found.mistake) return { ...table, ...found };
        errors.push(found.mistake);
      } else {
        errors.push(mistake.missesGround ? { path: [list, index], text: `${show([list, index])}.${Object.keys(keys)[0]}: there is no [ground]; allowed: with marks` } : mistake);
      }
      return table;
    });
  }
  return { placed, errors };
}

/** The calibrated ground of the tables, or the mistake of its marks. */
export function readGround(tables, findMistake) {
  if (!Object.hasOwn(tables, "ground")) return { mistake: { missesGround: true } };
  const mistake = findMistake("ground", tables.ground, ["ground"]);
  if (mistake) return { mistake };
  try {
    return { plane: calibrate(tables.ground) };
  } catch (error) {
    if (!(error instanceof GroundError)) throw error;
    return { mistake: { path: ["ground"], text: error.message, groundError: error } };
  }
}

const show = ([list, index]) => `${list}[${index}]`;

function findKeyMistake(table, keys, path) {
  const given = Object.keys(keys).find((key) => Object.hasOwn(table, key));
  for (const [inMetres, inPicture] of Object.entries(keys)) {
    if (Object.hasOwn(table, inPicture)) return { path: [...path, inPicture], text: `${show(path)}.${inPicture}: given with \`${given}\`; allowed: one of them` };
    if (!Object.hasOwn(table, inMetres)) return { path: [...path, inMetres], text: `${show(path)}.${inMetres}: missing; it has to be given` };
  }
  return null;
}

function placeTable(plane, list, table, path) {
  if (list === "line") {
    const ends = placeLine(plane, table.from_m, table.to_m);
    if (!ends) return { mistake: { path, text: `${show(path)}.from_m: no part of the line is in the picture` } };
    return { from: ends[0], to: ends[1] };
  }
  const polygon = placePolygon(plane, table.polygon_m);
  if (!polygon) return { mistake: { path, text: `${show(path)}.polygon_m: no part of it is in the picture` } };
  if (isSelfIntersecting(polygon) && !isSelfIntersecting(table.polygon_m.map((place) => place.map(Number)))) {
    return { mistake: { path, text: `${show(path)}.polygon_m: falls into parts in the picture; allowed: an area of which the picture shows one part` } };
  }
  return { polygon };
}
