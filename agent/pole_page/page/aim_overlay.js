// The aim, against the picture of the last certificate: that picture over the live one, and the difference in degrees.

import { element } from "/editor/dom.js";
import { act, actPicture, sentenceOf } from "./box_api.js";
import { pause } from "./pause.js";
import { text } from "./texts.js";
import { show, value } from "./widgets.js";

const PERIOD_MS = 2000;

/** The overlay over one camera's screen. */
export class AimOverlay {
  #camera;
  #image;
  #words;
  #onLines;
  #stopped = null;
  #url = null;

  /** `onLines` gets the difference in words, and none once the overlay is off. */
  constructor(camera, screen, onLines) {
    this.#camera = camera;
    this.#onLines = onLines;
    this.#image = element("img", { class: "recorded", alt: "", hidden: true });
    screen.append(this.#image);
    this.#words = element("div", { class: "verdict", role: "status" });
    const slider = element("input", { type: "range", min: 0, max: 100, value: 50, input: () => this.#fade(slider.value) });
    this.#fade(slider.value);
    this.element = element("div", { hidden: true }, this.#words, element("label", {}, text("aim_fade"), slider));
  }

  /** Switch it on or off. */
  show(on) {
    this.close();
    this.element.hidden = !on;
    if (!on) return;
    this.#stopped = new AbortController();
    this.#run(this.#stopped.signal);
  }

  /** Ask no more. */
  close() {
    this.#stopped?.abort();
    this.#image.hidden = true;
    this.#onLines([]);
    if (this.#url !== null) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  #fade(percent) {
    this.#image.style.opacity = String(percent / 100);
  }

  async #run(signal) {
    while (!signal.aborted) {
      try {
        if (!document.hidden) await this.#ask(signal);
      } catch (error) {
        if (signal.aborted) return;
        show(this.#words, element("p", {}, sentenceOf(error)));
        this.#words.dataset.ok = "null";
      }
      await pause(PERIOD_MS, signal);
    }
  }

  async #ask(signal) {
    if (this.#url === null) {
      const { blob } = await actPicture("aim_reference", { camera: this.#camera }, { signal });
      this.#url = URL.createObjectURL(blob);
      this.#image.src = this.#url;
      this.#image.hidden = false;
    }
    const aim = await act("aim", { camera: this.#camera }, { signal });
    show(this.#words, aim.lines.map((line) => element("p", {}, value(line))));
    this.#onLines(aim.lines);
    this.#words.dataset.ok = String(aim.is_good);
  }
}
