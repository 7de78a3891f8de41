// The marks of `[ground]` in a scene's tables: read, and changed as steps of undo. Pure but for the document.

import { roundPoint, roundTo } from "./geometry.js";
import { findMarkMistake } from "./scene_check.js";

const DEFAULT_HEIGHT_M = 6;
const DEFAULT_LENGTH_M = 3.5;
/** Centimetres. */
const METRE_DECIMALS = 2;
/** Of a degree: a centimetre. */
const DEGREE_DECIMALS = 7;

export const MIN_POINTS = 4;
export const MIN_LENGTHS = 2;

const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);
const listOf = (value) => (Array.isArray(value) ? value : []);
const wholeList = (value, isGood) => (listOf(value).every(isGood) ? listOf(value) : []);

export class GroundMarks {
  #editor;

  constructor(editor) {
    this.#editor = editor;
  }

  get table() {
    const { ground } = this.#editor.document.tables;
    return ground !== null && typeof ground === "object" && !Array.isArray(ground) ? ground : {};
  }

  // Of a list with an entry that is none, nothing is shown: the rows of the table are those of the file.
  get points() { return wholeList(this.table.point, (mark) => isPoint(mark?.at)); }
  get lengths() { return wholeList(this.table.length, (mark) => isPoint(mark?.from) && isPoint(mark?.to)); }
  get straights() { return wholeList(this.table.straight, (line) => listOf(line).length > 0 && line.every(isPoint)); }
  get isEmpty() { return !this.points.length && !this.lengths.length && !this.straights.length; }

  /** Whether the marks are enough, and each of them is whole: what they mean is for the calibration to judge. */
  get isWhole() {
    return (this.points.length >= MIN_POINTS || this.lengths.length >= MIN_LENGTHS) && findMarkMistake(this.table) === null;
  }

  /** The kind of the marks that are there, or null. */
  get kind() {
    if (this.points.length) return this.points.some((mark) => "position" in mark) ? "position" : "metres";
    return this.lengths.length ? "length" : null;
  }

  addPoint(at, kind) {
    const last = this.points.at(-1)?.[kind];
    const value = kind === "position" && isPoint(last) ? last : [0, 0];
    this.#edit((ground) => { ground.point = [...listOf(ground.point), { at: roundPoint(at), [kind]: value }]; });
  }

  addLength(from, to) {
    this.#edit((ground) => {
      ground.camera_height_m ??= DEFAULT_HEIGHT_M;
      ground.length = [...listOf(ground.length), { from: roundPoint(from), to: roundPoint(to), metres: DEFAULT_LENGTH_M }];
    });
  }

  addStraight(points) {
    this.#edit((ground) => { ground.straight = [...listOf(ground.straight), points.map(roundPoint)]; });
  }

  /** Change `key` of the mark at `index` of a list, `null` for the table itself. One step of undo while it is typed. */
  set(list, index, key, value) {
    const rounded = Array.isArray(value)
      ? value.map((part) => roundTo(part, key === "position" ? DEGREE_DECIMALS : METRE_DECIMALS)) : value;
    this.#edit((ground) => {
      if (list === null) ground[key] = rounded;
      else ground[list][index][key] = rounded;
    }, `ground-${list}-${index}-${key}`);
  }

  /** Move a mark's point: `at`, `from`, `to` or the index of a straight line's point. */
  move(list, index, key, point) {
    this.#edit((ground) => { ground[list][index][key] = roundPoint(point); }, `ground-move-${list}-${index}-${key}`);
  }

  delete(list, index) {
    this.#edit((ground) => { ground[list].splice(index, 1); });
  }

  /** Marks of another kind: the places in the picture are kept. */
  setKind(kind) {
    if (kind === "length" || !this.points.length) return;
    this.#edit((ground) => {
      ground.point = ground.point.map(({ at }) => ({ at, [kind]: [0, 0] }));
    });
  }

  #edit(change, merge = null) {
    const { width, height } = this.#editor.viewport.size;
    this.#editor.document.edit((draft) => {
      const ground = draft.ground ?? {};
      change(ground);
      for (const list of ["point", "length", "straight"]) if (!listOf(ground[list]).length) delete ground[list];
      if (ground.length || ground.straight) ground.aspect ??= roundTo(width / height, 4);
      if (!ground.length) delete ground.camera_height_m;
      if (Object.keys(ground).some((key) => key !== "aspect")) draft.ground = ground;
      else delete draft.ground;
    }, { merge });
  }
}
