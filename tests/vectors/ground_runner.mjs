// Computes what agent/scene_editor/ground.js makes of the vectors on the standard input, as JSON.

import { readFileSync } from "node:fs";
import { argv, stdout } from "node:process";

const { MIN_EDGE_SCALE, calibrate, edgeScale, pixelsPerMetre, placeLine, placePolygon, toGround, toPicture } = await import(argv[2]);

function describe({ ground, points = [], places = [], lines = [], polygons = [] }, widthPx, heightPx) {
  let plane;
  try {
    plane = calibrate(ground);
  } catch (error) {
    if (error.name !== "GroundError") throw error;
    return { error: error.message };
  }
  return {
    error: null,
    plane: {
      error_m: plane.errorM,
      mark_errors_m: plane.markErrorsM,
      fit_error_m: plane.fitErrorM,
      set_aside: plane.setAside,
      distortion: plane.distortion,
      edge_scale: edgeScale(plane),
      is_bent: edgeScale(plane) < MIN_EDGE_SCALE,
    },
    points: points.map(({ point }) => {
      const found = toGround(plane, point);
      return {
        point,
        place: found && [found.xM, found.yM],
        error_m: found && found.errorM,
        px_per_m: pixelsPerMetre(plane, point, widthPx, heightPx),
      };
    }),
    places: places.map(({ place }) => ({ place, point: toPicture(plane, place) })),
    lines: lines.map(({ metres }) => ({ metres, picture: placeLine(plane, ...metres) })),
    polygons: polygons.map(({ metres }) => ({ metres, picture: placePolygon(plane, metres) })),
  };
}

const { vectors, width_px: widthPx, height_px: heightPx } = JSON.parse(readFileSync(0, "utf-8"));
stdout.write(JSON.stringify(vectors.map((vector) => describe(vector, widthPx, heightPx))));
