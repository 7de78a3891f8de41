// The ground panel: marks of known place, the error of the calibration that they give, and the map of pixels per metre.

import { densityCells, describeLowDensity, NO_LEVEL, lowDensityElements } from "./density_map.js";
import { element, svgElement } from "./dom.js";
import { findingWords, groundErrorWords, lowDensityWords } from "./finding_words.js";
import { calibrate, edgeScale, fitPlane, LEVELS_PX_PER_M, MIN_EDGE_SCALE, toPicture } from "./ground.js";
import { GroundError } from "./ground_error.js";
import { GroundMarks, MIN_LENGTHS, MIN_POINTS } from "./mark_edits.js";
import { GroundTable } from "./ground_table.js";
import { drawPath, groundTools } from "./mark_tools.js";

/** Refused for the size of the error alone. */
const TOO_ROUGH = ["error", "weak"];
const GRID_STEP_M = 5;
const GRID_REACH_M = 60;
/** A grid line is drawn in steps of so many metres: it bends with the lens. */
const GRID_SAMPLE_M = 1;

/** Not for the picture of a fisheye camera: the ground is calibrated on its flat views. */
export function installGround(editor) {
  if (editor.options.data?.fisheye) return;
  const ground = new Ground(editor);
  editor.addLayer({ id: "density", above: "picture", draw: (group) => ground.drawDensity(group) });
  editor.addLayer({ id: "ground", above: "scene", draw: (group) => ground.drawMarks(group) });
  editor.addPanel({ id: "ground", textKey: "ground_title", mount: (container) => ground.mount(container) });
  editor.addHandles({ id: "ground", list: () => ground.handles() });
  editor.addCheck(() => ground.findings());
  ground.addTools();
}

class Ground {
  #editor;
  #marks;
  #table = null;
  #nodes = {};
  #cached = { key: null, plane: null, error: null, rough: null };
  #size = null;
  #shownSize = "";
  #cells = { key: null, cells: [] };
  #dragged = null;

  constructor(editor) {
    this.#editor = editor;
    this.#marks = new GroundMarks(editor);
    for (const event of ["change", "open", "language"]) editor.on(event, () => this.#show());
    // A live picture comes five times a second: only another size of it is news.
    editor.on("picture", () => { if (String(this.size_px) !== this.#shownSize) this.#show(); });
  }

  /** The kind that a new point gets. */
  get kind() { return this.#marks.kind ?? this.#nodes.kind?.value ?? "metres"; }

  /** The width and height of the camera's pictures, which the pixels are counted in. */
  get size_px() {
    const picture = this.#editor.picture;
    return this.#size ?? (picture ? [picture.width_px, picture.height_px] : [1920, 1080]);
  }

  /** The plane of the marks, or the reason that there is none; `rough` is also one with too large an error. Calculated once for the same marks. */
  get calibration() {
    const key = this.#marks.isWhole ? JSON.stringify(this.#marks.table) : "";
    if (key !== this.#cached.key) {
      this.#cached = { key, plane: null, error: null, rough: null };
      if (key) {
        try {
          this.#cached.plane = calibrate(this.#marks.table);
          this.#cached.rough = this.#cached.plane;
        } catch (error) {
          if (!(error instanceof GroundError)) throw error;
          this.#cached.error = error;
          // Which mark is wrong is seen by the errors of each.
          if (TOO_ROUGH.includes(error.code)) this.#cached.rough = fitPlane(this.#marks.table);
        }
      }
    }
    return this.#cached;
  }

  addTools() {
    for (const tool of groundTools(this.#editor, (list, points) => this.#add(list, points))) this.#editor.addTool(tool);
  }

  mount(container) {
    const nodes = this.#nodes;
    nodes.texts = [];
    const text = (node, key, values = {}) => {
      nodes.texts.push(() => { node.textContent = this.#editor.t(key, values); });
      return node;
    };
    const update = () => this.#editor.render();
    nodes.kind = element("select", { change: () => this.#marks.setKind(nodes.kind.value) },
      ...["metres", "position"].map((kind) => text(element("option", { value: kind }), `ground_kind_${kind}`)));
    nodes.status = element("div", { class: "ground-status", role: "status" });
    nodes.lowDensity = element("ul", { class: "ground-low-density" });
    nodes.density = element("input", { type: "checkbox", change: update });
    nodes.grid = element("input", { type: "checkbox", change: update });
    nodes.size = [0, 1].map((axis) => element("input", {
      type: "number", min: 16, max: 16384, step: 1, dir: "ltr", change: () => this.#setSize(axis),
    }));
    const field = (key, ...controls) => element("label", { class: "field" }, text(element("span"), key), ...controls);
    const check = (key, control) => element("label", { class: "field tick" }, control, text(element("span"), key));
    nodes.legend = element("ul", { class: "density-legend" },
      ...Object.entries(LEVELS_PX_PER_M).reverse().map(([level, px_per_m]) => element("li", {},
        swatch(level), element("bdi", { dir: "ltr" }, `${px_per_m} px/m`), text(element("span"), `density_${level}`))),
      element("li", {}, swatch(NO_LEVEL), text(element("span"), "density_none")));
    const tableNode = element("div");
    container.append(
      text(element("p", { class: "hint" }), "ground_hint"), field("ground_kind", nodes.kind), tableNode, nodes.status,
      check("ground_grid", nodes.grid), check("ground_density", nodes.density), nodes.legend,
      field("ground_width", nodes.size[0]), field("ground_height", nodes.size[1]),
      text(element("p", { class: "hint" }), "ground_size_hint"), nodes.lowDensity,
    );
    this.#table = new GroundTable(this.#editor, this.#marks, tableNode);
    this.#show();
  }

  /** None while a tool is in use: the next length may begin where another one ends. */
  handles() {
    if (this.#editor.tool || !this.#nodes.status || this.#nodes.status.closest("[hidden]")) return [];
    const t = (key, values) => this.#editor.t(key, values);
    const handle = (list, index, key, point, label) => {
      const id = `ground-${list}-${index}-${key}`;
      return {
        id,
        label,
        isExact: true,
        point: this.#dragged?.id === id ? this.#dragged.point : point,
        onDrag: (to, isDone) => this.#drag({ id, point: to }, isDone, () => this.#marks.move(list, index, key, to)),
        onAbort: () => { this.#dragged = null; },
        onDelete: () => this.#marks.delete(list, index),
      };
    };
    return [
      ...this.#marks.points.map((mark, index) => handle("point", index, "at", mark.at, t("ground_mark", { number: index + 1 }))),
      ...this.#marks.lengths.flatMap((mark, index) => ["from", "to"].map((key) =>
        handle("length", index, key, mark[key], t("ground_length_end", { number: index + 1 })))),
      ...this.#marks.straights.flatMap((line, index) => line.map((point, at) =>
        handle("straight", index, at, point, t("ground_straight_point", { line: index + 1, number: at + 1 })))),
    ];
  }

  /** Lines and zones that have too few pixels for what they count, as warnings in the words of the check. */
  findings() {
    return this.#lowDensity().map((found) => ({ path: [found.list, found.index], level: "warning", message: describeLowDensity(found), lowDensity: found }));
  }

  #lowDensity() {
    const { plane } = this.calibration;
    return plane ? lowDensityElements(plane, this.#editor.document.placed, this.size_px) : [];
  }

  drawDensity(group) {
    const { plane } = this.calibration;
    const picture = this.#editor.picture;
    if (!plane || !picture || !this.#nodes.density?.checked) return;
    const key = `${this.#cached.key} ${this.size_px} ${picture.width_px} ${picture.height_px}`;
    if (key !== this.#cells.key) {
      this.#cells = { key, cells: densityCells(plane, [picture.width_px, picture.height_px], this.size_px) };
    }
    for (const { x, y, width, height, level } of this.#cells.cells) {
      group.append(svgElement("rect", { class: `density density-${level}`, x, y, width, height }));
    }
    this.#writeLevels(group, picture.width_px / 2);
  }

  /** The numbers of the levels, where they begin in one column: colour alone is not enough. */
  #writeLevels(group, column_px) {
    const unit = 1 / this.#editor.viewport.scale;
    let above = null;
    for (const { x, y, width, level } of this.#cells.cells) {
      if (x > column_px || x + width <= column_px || level === above) continue;
      if (above !== null) drawText(group, [column_px, y], String(LEVELS_PX_PER_M[level] ?? 0), unit, "density-text");
      above = level;
    }
  }

  drawMarks(group) {
    const picture = this.#editor.picture;
    if (!picture || !this.#nodes.status || this.#nodes.status.closest("[hidden]")) return;
    const { rough } = this.calibration;
    const unit = 1 / this.#editor.viewport.scale;
    const place = ([x, y]) => [x * picture.width_px, y * picture.height_px];
    if (rough && this.#nodes.grid.checked) drawGrid(group, rough, place, unit);
    this.#marks.points.forEach(({ at }, index) => {
      const isAside = rough?.setAside.includes(index);
      drawPath(group, [place(at)], "ground-straight", unit);
      drawText(group, place(at), isAside ? `${index + 1} ✕` : `${index + 1}`, unit, isAside ? "ground-mark aside" : "ground-mark");
    });
    this.#marks.lengths.forEach(({ from, to, metres }) => {
      drawPath(group, [from, to].map(place), "ground-length", unit);
      drawText(group, place([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]), `${metres} m`, unit, "ground-mark");
    });
    for (const line of this.#marks.straights) drawPath(group, line.map(place), "ground-straight", unit);
  }

  #add(list, points) {
    if (list === "point") this.#marks.addPoint(points[0], this.kind);
    else if (list === "length") this.#marks.addLength(...points);
    else this.#marks.addStraight(points);
    this.#editor.panel.show("ground");
    if (list !== "straight") this.#table.focusLast(list);
  }

  #drag(dragged, isDone, move) {
    this.#dragged = isDone ? null : dragged;
    if (isDone) move();
    else this.#editor.render();
  }

  #setSize(axis) {
    const value = Math.round(Number(this.#nodes.size[axis].value));
    if (value >= 16 && value <= 16384) {
      this.#size = this.size_px.map((old, at) => (at === axis ? value : old));
      this.#editor.checkAgain();
    }
    this.#show();
  }

  #show() {
    const nodes = this.#nodes;
    if (!nodes.status) return;
    this.#shownSize = String(this.size_px);
    for (const write of nodes.texts) write();
    nodes.kind.value = this.kind === "position" ? "position" : "metres";
    nodes.size.forEach((input, axis) => { if (input !== document.activeElement) input.value = this.size_px[axis]; });
    const { plane, error, rough } = this.calibration;
    this.#table.show(rough);
    nodes.status.replaceChildren(...this.#statusLines(plane, error).map(([className, words]) => element("p", { class: className }, words)));
    nodes.lowDensity.replaceChildren(...this.#lowDensity().map((found) => element("li", { class: "warning" }, lowDensityWords(found, (key, values) => this.#editor.t(key, values)))));
    this.#editor.render();
  }

  #statusLines(plane, error) {
    const t = (key, values) => this.#editor.t(key, values);
    if (error) return [["error", groundErrorWords(error, t)]];
    const wrong = this.#marks.isEmpty ? null : this.#editor.document.errors.find(({ path }) => path[0] === "ground");
    const missing = this.#marks.kind === "length" ? MIN_LENGTHS - this.#marks.lengths.length : MIN_POINTS - this.#marks.points.length;
    if (!plane) {
      if (this.#marks.kind && missing > 0) return [["hint", t(`ground_more_${this.#marks.kind === "length" ? "lengths" : "points"}`, { count: missing })]];
      return [wrong ? ["error", this.#editor.language === "en" ? wrong.message : findingWords(wrong, t)] : ["hint", t("ground_missing")]];
    }
    const lines = plane.errorM === null
      ? [["warning", t("ground_no_held_out")]]
      : [["ground-error", t("ground_held_out", { error: metres(plane.errorM), worst: metres(plane.worstErrorM) })]];
    lines.push(["hint", t("ground_fit", { error: metres(plane.fitErrorM) })]);
    if (plane.setAside.length) {
      lines.push(["warning", t("ground_set_aside", { marks: plane.setAside.map((index) => index + 1).join(t("comma")) })]);
    }
    if (plane.distortion !== 0) lines.push(["hint", t("ground_distortion", { value: plane.distortion.toFixed(3) })]);
    if (edgeScale(plane) < MIN_EDGE_SCALE) lines.push(["warning", t("ground_lens_bends")]);
    return lines;
  }

}

export function metres(value) {
  return value.toFixed(2);
}

function swatch(level) {
  return svgElement("svg", { class: "level-swatch", viewBox: "0 0 10 10", "aria-hidden": "true" },
    svgElement("rect", { class: `density density-${level}`, width: 10, height: 10 }));
}

function drawText(group, [x, y], words, unit, className) {
  group.append(svgElement("text", { class: className, x, y: y - 16 * unit, "font-size": 14 * unit, "stroke-width": 3.5 * unit }, words));
}

/** Lines on the ground every GRID_STEP_M, as far as the picture shows them: if they do not lie on the street, a mark is wrong. */
function drawGrid(group, plane, place, unit) {
  const steps = Array.from({ length: (2 * GRID_REACH_M) / GRID_STEP_M + 1 }, (_, step) => step * GRID_STEP_M - GRID_REACH_M);
  const samples = Array.from({ length: (2 * GRID_REACH_M) / GRID_SAMPLE_M + 1 }, (_, step) => step * GRID_SAMPLE_M - GRID_REACH_M);
  for (const fixed of steps) {
    for (const toMetres of [(moving) => [fixed, moving], (moving) => [moving, fixed]]) {
      let run = [];
      for (const moving of [...samples, NaN]) {
        const point = Number.isNaN(moving) ? null : toPicture(plane, toMetres(moving));
        if (point && point.every((part) => part > -0.5 && part < 1.5)) {
          run.push(place(point));
        } else {
          if (run.length > 1) group.append(svgElement("polyline", { class: fixed === 0 ? "ground-grid zero" : "ground-grid", points: run.join(" "), "stroke-width": unit }));
          run = [];
        }
      }
    }
  }
}
