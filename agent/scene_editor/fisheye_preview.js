// The picture of a view, dewarped in the page: what the box makes of it.

import { element } from "./dom.js";
import { viewPoint } from "./fisheye_lens.js";

const WIDTH_PX = 336;
/** Of the fisheye picture, whose pixels are read once. */
const MAX_SOURCE_PX = 1600;
/** As where the lens sees nothing. */
const OUTSIDE = [16, 16, 16, 255];

export class FisheyePreview {
  #source = { url: null, pixels: null };
  #drawn = null;
  #onReady;

  /** `onReady` is called when the pixels of a picture can be drawn. */
  constructor(onReady) {
    this.#onReady = onReady;
    this.node = element("canvas", { class: "fisheye-preview", role: "img", width: WIDTH_PX, height: 1 });
  }

  /** Draw a view of a picture, or nothing. The same view is not drawn again. */
  draw(picture, lens, view) {
    this.node.hidden = !picture?.url || !lens || !view;
    if (this.node.hidden) return;
    if (this.#source.url !== picture.url) this.#load(picture);
    const key = JSON.stringify([picture.url, lens, view, this.#source.pixels !== null]);
    if (key === this.#drawn || this.#source.pixels === null) return;
    this.#drawn = key;
    const height_px = Math.max(1, Math.round(WIDTH_PX * view.height_px / view.width_px));
    [this.node.width, this.node.height] = [WIDTH_PX, height_px];
    this.node.getContext("2d", { willReadFrequently: true }).putImageData(dewarp(this.#source.pixels, lens, view, picture.width_px / picture.height_px, WIDTH_PX, height_px), 0, 0);
  }

  async #load({ url, width_px, height_px }) {
    this.#source = { url, pixels: null };
    const image = new Image();
    image.src = url;
    await image.decode();
    if (this.#source.url !== url) return;
    const scale = Math.min(1, MAX_SOURCE_PX / Math.max(width_px, height_px));
    const canvas = element("canvas", { width: Math.round(width_px * scale), height: Math.round(height_px * scale) });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    this.#source.pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    this.#onReady();
  }
}

function dewarp(source, lens, view, aspect, width_px, height_px) {
  const dewarped = new ImageData(width_px, height_px);
  for (let y = 0; y < height_px; y += 1) {
    for (let x = 0; x < width_px; x += 1) {
      const point = viewPoint(lens, view, [(x + 0.5) / width_px, (y + 0.5) / height_px], aspect);
      const [column, row] = point === null ? [-1, -1] : [Math.floor(point[0] * source.width), Math.floor(point[1] * source.height)];
      const isInside = column >= 0 && row >= 0 && column < source.width && row < source.height;
      const from = (row * source.width + column) * 4;
      dewarped.data.set(isInside ? source.data.subarray(from, from + 4) : OUTSIDE, (y * width_px + x) * 4);
    }
  }
  return dewarped;
}
