// The lens and the views that are edited: each change is a step of undo of the version file.

import { roundPoint, roundTo } from "./geometry.js";
import { LensError, resolveLens } from "./fisheye_calibration.js";
import { isFreeName, NEW_VIEW, readTables, versionTables, versionText, viewRanges } from "./fisheye_version.js";
import { SceneDocument } from "./scene_document.js";

const ANGLE_DECIMALS = 2;
const ASPECT_DECIMALS = 4;

export class FisheyeState {
  #fit = { key: null };

  /** `given` is what `vigie scene edit --views` has read: `{ camera, name, lens, views, known }`. */
  constructor({ camera, name, lens, views, known }) {
    this.camera = camera;
    const kind = { write: (_, tables) => versionText(tables, camera, known), place: () => ({}), check: () => [] };
    this.document = new SceneDocument(versionText(versionTables(camera, lens, views), camera, known), name, kind);
  }

  get lens() { return this.#read().lens; }
  get views() { return this.#read().views; }

  /** The lens that the box finds: `{ lens, lines, errorDeg, error }`, without a lens and with an error if there is none. Calculated once. */
  get fit() {
    const { lens: table } = this;
    const key = JSON.stringify(table);
    if (key !== this.#fit.key) {
      try {
        this.#fit = { key, error: null, ...resolveLens(table) };
      } catch (error) {
        if (!(error instanceof LensError)) throw error;
        this.#fit = { key, error, lens: null, lines: error.values.lines ?? [], errorDeg: null };
      }
    }
    return this.#fit;
  }

  /** Set a number of the lens, or a part of a list of it; undefined removes it. */
  setLens(key, part, value) {
    this.#edit((cameras) => {
      const { lens } = cameras[this.camera];
      if (part !== null) lens[key][part] = value;
      else if (value === undefined) delete lens[key];
      else lens[key] = value;
    }, `lens-${key}-${part}`);
  }

  /** A line that is straight in the street, on a picture of this aspect. It finds what a calibration states otherwise. */
  addLine(points, aspect) {
    this.#edit((cameras) => {
      const { lens } = cameras[this.camera];
      delete lens.focal_length;
      Object.assign(lens, { k: [0, 0, 0, 0], aspect: roundTo(aspect, ASPECT_DECIMALS), straight: [...lens.straight, points.map(roundPoint)] });
    });
  }

  moveLinePoint(line, at, point, merge) {
    this.#edit((cameras) => { cameras[this.camera].lens.straight[line][at] = roundPoint(point); }, merge);
  }

  deleteLine(line) {
    this.#edit((cameras) => {
      const { lens } = cameras[this.camera];
      lens.straight.splice(line, 1);
      if (!lens.straight.length) delete lens.aspect;
    });
  }

  addView(direction) {
    const { views } = this;
    let number = 1;
    while (!isFreeName(`${this.camera}-${number}`, this.camera, views)) number += 1;
    const options = this.withOptions({ camera: this.camera, ...NEW_VIEW.flat }, direction);
    this.#edit((cameras) => { cameras[`${this.camera}-${number}`] = { driver: "view", record: false, options }; });
  }

  /** Change options of a view. */
  setView(index, changed, merge = null) {
    const { name, options } = this.views[index];
    this.#edit((cameras) => { cameras[name].options = this.withOptions(options, changed); }, merge && `${name} ${merge}`);
  }

  /** The options with others, within what its projection allows. */
  withOptions(options, changed) {
    const all = { ...options, ...changed };
    const ranges = viewRanges(all);
    for (const [key, [low, high]] of Object.entries(ranges)) all[key] = roundTo(Math.min(high, Math.max(low, all[key])), ANGLE_DECIMALS);
    return all;
  }

  /** Give a view another name. Returns whether it is a free one. */
  renameView(index, name) {
    const { views } = this;
    const others = views.filter((_, at) => at !== index);
    if (!isFreeName(name, this.camera, others)) return false;
    const renamed = views.map((view, at) => (at === index ? { ...view, name } : view));
    this.#edit((cameras) => {
      for (const view of views) delete cameras[view.name];
      Object.assign(cameras, versionTables(this.camera, cameras[this.camera].lens, renamed).settings.camera);
    });
    return true;
  }

  deleteView(index) {
    const { name } = this.views[index];
    this.#edit((cameras) => { delete cameras[name]; });
  }

  #read() { return readTables(this.document.tables, this.camera); }

  #edit(change, merge = null) {
    this.document.edit((draft) => change(draft.settings.camera), { merge });
  }
}
