// Zoom and pan: the picture's place on the stage. Positions on the stage are CSS pixels from its top left corner.

import { clamp } from "./geometry.js";

const MAX_SCALE = 16;
const MIN_OF_FIT = 0.5;
const MARGIN_PX = 12;

export class Viewport {
  /** `scale` is stage pixels by picture pixels. `onChange` is called after each change. */
  constructor(onChange) {
    this.onChange = onChange;
    this.size = { width: 1, height: 1 };
    this.stage = { width: 1, height: 1 };
    this.scale = 1;
    this.offset = { x: 0, y: 0 };
    this.isFitted = true;
  }

  setStage(width, height) {
    this.stage = { width: Math.max(1, width), height: Math.max(1, height) };
    if (this.isFitted) this.fit();
    else this.onChange();
  }

  setPicture(width_px, height_px) {
    this.size = { width: width_px, height: height_px };
    this.fit();
  }

  get aspect() { return this.size.width / this.size.height; }
  get #fitScale() {
    return Math.min((this.stage.width - 2 * MARGIN_PX) / this.size.width, (this.stage.height - 2 * MARGIN_PX) / this.size.height, MAX_SCALE);
  }

  /** Show the whole picture. */
  fit() {
    this.scale = Math.max(this.#fitScale, 0.01);
    this.offset = { x: (this.stage.width - this.size.width * this.scale) / 2, y: (this.stage.height - this.size.height * this.scale) / 2 };
    this.isFitted = true;
    this.onChange();
  }

  /** Zoom by a factor around a place on the stage, its middle by default. */
  zoomBy(factor, at = { x: this.stage.width / 2, y: this.stage.height / 2 }) {
    const scale = clamp(this.scale * factor, this.#fitScale * MIN_OF_FIT, MAX_SCALE);
    const change = scale / this.scale;
    this.offset = { x: at.x - (at.x - this.offset.x) * change, y: at.y - (at.y - this.offset.y) * change };
    this.scale = scale;
    this.#keepInSight();
  }

  panBy(dx, dy) {
    this.offset = { x: this.offset.x + dx, y: this.offset.y + dy };
    this.#keepInSight();
  }

  #keepInSight() {
    const visible = 40;
    this.offset.x = clamp(this.offset.x, visible - this.size.width * this.scale, this.stage.width - visible);
    this.offset.y = clamp(this.offset.y, visible - this.size.height * this.scale, this.stage.height - visible);
    this.isFitted = false;
    this.onChange();
  }

  /** Screen pixels by the picture's width and height. */
  get pxPerPicture() { return { x: this.size.width * this.scale, y: this.size.height * this.scale }; }

  toScreen([x, y]) {
    return { x: this.offset.x + x * this.pxPerPicture.x, y: this.offset.y + y * this.pxPerPicture.y };
  }

  /** The point of the picture at a place on the stage; it may be outside of 0..1. */
  toPicture(x, y) {
    return [(x - this.offset.x) / this.pxPerPicture.x, (y - this.offset.y) / this.pxPerPicture.y];
  }
}
