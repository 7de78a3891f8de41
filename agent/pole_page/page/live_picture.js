// The picture of a camera, five a second at most, while the page is looked at.

import { actPicture, BoxError } from "./box_api.js";
import { pause } from "./pause.js";

const PERIOD_MS = 200;
const RETRY_MS = 1000;

/** Pictures of one camera in turn. A picture is asked for after the one before it has come. */
export class LivePicture {
  #camera;
  #view = "plain";
  #onPicture;
  #onError;
  #stopped = null;

  /** `onPicture({ url, blob, reading })` may return a promise; the URL lives until the picture after the next. */
  constructor(camera, onPicture, onError) {
    this.#camera = camera;
    this.#onPicture = onPicture;
    this.#onError = onError;
  }

  /** Choose `plain`, or `night` for a picture that is made brighter. */
  setView(view) {
    this.#view = view;
  }

  /** Begin. The box is not asked while the page is hidden. */
  start() {
    if (this.#stopped !== null) return;
    this.#stopped = new AbortController();
    this.#run(this.#stopped.signal);
  }

  /** End, and abort the picture that is on its way. */
  stop() {
    this.#stopped?.abort();
    this.#stopped = null;
  }

  async #run(signal) {
    const urls = [];
    while (!signal.aborted) {
      await whileHidden(signal);
      const begun_ms = performance.now();
      let wait_ms = PERIOD_MS;
      try {
        const { blob, reading } = await actPicture("picture", { camera: this.#camera, view: this.#view }, { signal });
        urls.push(URL.createObjectURL(blob));
        await this.#onPicture({ url: urls.at(-1), blob, reading });
        if (urls.length > 2) URL.revokeObjectURL(urls.shift());
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof BoxError)) throw error;
        this.#onError(error);
        wait_ms = Math.max(RETRY_MS, 1000 * error.retryAfterS);
      }
      await pause(begun_ms + wait_ms - performance.now(), signal);
    }
    urls.forEach((url) => URL.revokeObjectURL(url));
  }
}

/** Wait until the page is looked at. */
function whileHidden(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
}
