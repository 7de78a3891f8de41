// The corners of an element as its scene gives them: points of the picture, or places on the ground in metres. Pure.

import { MAX_CORNERS, pointsOf, withPoints } from "./elements.js";
import { middle, roundPoint } from "./geometry.js";
import { placeLine, placePolygon, toGround, toPicture } from "./ground.js";
import { groundPlaneOf } from "./scene_check.js";
import { isInMetres } from "./scene_metres.js";

const MAX_CORNERS_IN_METRES = 48;
/** A centimetre, which is finer than any mark. */
const STEPS_PER_M = 100;
/** Of the picture's size: a corner at its edge is not lost by rounding. */
const EDGE = 0.005;

/**
 * The shape of an element, or null if it has none that can be drawn: its `corners`; `pointOf(corner)`, null outside of the
 * picture; `cornerAt(point)`, null beyond the horizon; `between(a, b)`; `tableWith(corners)`, as the scene has it, and
 * `shownWith(corners)` with its place in the picture, null without one.
 */
export function shapeOf(tables, list, table) {
  return isInMetres(list, table) ? shapeInMetres(tables, list, table) : shapeInPicture(list, table);
}

function shapeInPicture(list, table) {
  const corners = pointsOf(list, table);
  const tableWith = (points) => withPoints(list, table, points);
  return corners && {
    corners, maxCorners: MAX_CORNERS, pointOf: (point) => point, cornerAt: roundPoint, between: (a, b) => roundPoint(middle(a, b)), tableWith, shownWith: tableWith,
  };
}

function shapeInMetres(tables, list, table) {
  const plane = groundPlaneOf(tables);
  const given = list === "line" ? [table.from_m, table.to_m] : table.polygon_m;
  if (!plane || !Array.isArray(given) || !given.every(isPlace)) return null;
  const tableWith = (places) => (list === "line" ? { ...table, from_m: places[0], to_m: places[1] } : { ...table, polygon_m: places });
  return {
    corners: given.map((place) => place.map(Number)),
    maxCorners: MAX_CORNERS_IN_METRES,
    pointOf(place) {
      const point = toPicture(plane, place);
      return point?.every((part) => part >= -EDGE && part <= 1 + EDGE) ? point : null;
    },
    cornerAt(point) {
      const found = toGround(plane, point);
      return found && [found.xM, found.yM].map(roundM);
    },
    between: (a, b) => middle(a, b).map(roundM),
    tableWith,
    shownWith(places) {
      const placed = list === "line" ? placeLine(plane, ...places) : placePolygon(plane, places);
      return placed && withPoints(list, tableWith(places), placed);
    },
  };
}

const isPlace = (value) => Array.isArray(value) && value.length === 2 && value.every((part) => Number.isFinite(Number(part)));

const roundM = (metres) => Math.round(metres * STEPS_PER_M) / STEPS_PER_M;
