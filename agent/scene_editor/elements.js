// The drawn tables of a scene, each a list of points: the two ends of a line, or the corners of an area. Pure.

import { roundPoint } from "./geometry.js";
import { DRAWN_LISTS, ZONE_DEFAULTS, ZONE_KINDS } from "./scene_schema.js";

export const MAX_CORNERS = 64;
const MIN_CORNERS = 3;

export const isArea = (list) => list !== "line";
export const isNamed = (list) => list === "line" || list === "zone";

const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every((part) => Number.isFinite(part) && Math.abs(part) < 100);

/** The points of a table, or null if it has none that can be drawn. */
export function pointsOf(list, table) {
  const points = isArea(list) ? table?.polygon : [table?.from, table?.to];
  return Array.isArray(points) && points.length >= 2 && points.every(isPoint) ? points : null;
}

export function withPoints(list, table, points) {
  return isArea(list) ? { ...table, polygon: points } : { ...table, from: points[0], to: points[1] };
}

/** All that can be drawn: `{ list, index, table, points }`, areas before lines, so that lines are on top. */
export function drawnElements(tables) {
  return [...DRAWN_LISTS].reverse().flatMap((list) => {
    const rows = Array.isArray(tables[list]) ? tables[list] : [];
    return rows.map((table, index) => ({ list, index, table, points: pointsOf(list, table) })).filter(({ points }) => points);
  });
}

/** The table at a selection, or null. */
export function tableAt(tables, selection) {
  const rows = selection ? tables[selection.list] : null;
  return (Array.isArray(rows) && rows[selection.index]) || null;
}

/** The name of a table, or null if it has none that is a text. */
export const nameOf = (table) => (typeof table?.name === "string" ? table.name : null);

/** The kind of a zone, the default if it has none that there is. */
export const kindOf = (table) => (ZONE_KINDS.includes(table?.kind) ? table.kind : ZONE_DEFAULTS.kind);

/** A name that no line and no zone has: `base 1`, `base 2` ... */
export function freeName(tables, base) {
  const taken = new Set(["line", "zone"].flatMap((list) => (Array.isArray(tables[list]) ? tables[list] : []).map((table) => table?.name)));
  for (let number = 1; ; number += 1) {
    const name = `${base} ${number}`;
    if (!taken.has(name)) return name;
  }
}

/** A new table in the order of keys that people write. */
export function newTable(list, points, name) {
  const rounded = points.map(roundPoint);
  return withPoints(list, isNamed(list) ? { name } : {}, rounded);
}

/** The corners without one of them, or null if too few would be left. */
export function removeCorner(corners, index) {
  return corners.length > MIN_CORNERS ? corners.filter((_, at) => at !== index) : null;
}
