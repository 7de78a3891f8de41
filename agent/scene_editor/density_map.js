// Pixels per metre over the picture, with the levels of IEC 62676-4:2025. Pure.

import { drawnElements } from "./elements.js";
import { detailLevel, leastPxPerM, MIN_PX_PER_M, pixelsPerMetre, unsupportedLabels } from "./ground.js";
import { formatString } from "./python_format.js";
import { LABELS } from "./scene_schema.js";

/** Cells across the picture: at 64 a level's edge is off by less than a hundredth of the width. */
const COLUMNS = 64;
/** Below the lowest level. */
export const NO_LEVEL = "none";

/** Rectangles of one level each, in picture pixels: `[{ x, y, width, height, level }]`; beyond the horizon there are none. */
export function densityCells(plane, [width_px, height_px], [camera_width_px, camera_height_px]) {
  const rows = Math.max(1, Math.round((COLUMNS * height_px) / width_px));
  const [cell_width, cell_height] = [width_px / COLUMNS, height_px / rows];
  const cells = [];
  for (let row = 0; row < rows; row += 1) {
    let run = null;
    for (let column = 0; column < COLUMNS; column += 1) {
      const middle = [(column + 0.5) / COLUMNS, (row + 0.5) / rows];
      const px_per_m = pixelsPerMetre(plane, middle, camera_width_px, camera_height_px);
      const level = px_per_m > 0 ? detailLevel(px_per_m) ?? NO_LEVEL : null;
      if (run && run.level === level) {
        run.width += cell_width;
      } else {
        run = { x: column * cell_width, y: row * cell_height, width: cell_width, height: cell_height, level };
        cells.push(run);
      }
    }
  }
  return cells.filter(({ level }) => level !== null);
}

/**
 * The lines and zones with labels that their pixels do not suffice for:
 * `[{ list, index, name, px_per_m, needs: [{ px_per_m, labels }] }]`, as agent/detection/pixel_density.py has them.
 */
export function lowDensityElements(plane, tables, [camera_width_px, camera_height_px]) {
  return drawnElements(tables).filter(({ list }) => list === "line" || list === "zone").map(({ list, index, table, points }) => {
    const px_per_m = leastPxPerM(plane, points, camera_width_px, camera_height_px);
    const labels = unsupportedLabels(px_per_m, Array.isArray(table.labels) ? table.labels : LABELS);
    const limits = [...new Set(labels.map((label) => MIN_PX_PER_M[label]))].sort((a, b) => a - b);
    const needs = limits.map((limit) => ({ px_per_m: limit, labels: labels.filter((label) => MIN_PX_PER_M[label] === limit) }));
    return { list, index, name: table.name, px_per_m: Math.floor(px_per_m * 10) / 10, needs };
  }).filter(({ needs }) => needs.length > 0);
}

/** The words of the check. */
export function describeLowDensity({ list, name, px_per_m, needs }) {
  const needed = needs.map((need) => `${need.px_per_m} for ${need.labels.join(", ")}`).join("; ");
  return `${list} ${formatString(String(name))}: ${px_per_m.toFixed(1)} pixels per metre; needed: ${needed}`;
}
