// The state of the box, asked for each few seconds while the page is looked at, its trial, and the time that is left.

import { act, BoxError, readSession, waitForEnd } from "./box_api.js";
import { pause } from "./pause.js";

const PERIOD_MS = 3000;
const SESSION_EACH = 5;
/** Answers in a row without a process that does acts, after which the console's session has ended. */
const MAX_SILENT = 2;

/** The newest answers of the acts `status` and `trial`. `change` fires after each, `tick` each second, `off` once the page is. */
export class BoxStatus extends EventTarget {
  #stopped = new AbortController();
  #wake = () => {};
  #ends_ms;
  #clock = 0;
  #silent = 0;

  constructor(session) {
    super();
    this.session = session;
    /** The box's answer, or null before the first. */
    this.value = null;
    /** The change that waits to be kept, with `kind` null if none does. */
    this.trial = null;
    /** True while the box cannot be reached. */
    this.isUnreachable = false;
    this.#readEnd(session);
  }

  /** Begin to ask. */
  start() {
    this.#clock = setInterval(() => this.dispatchEvent(new Event("tick")), 1000);
    document.addEventListener("visibilitychange", this.#onVisible);
    this.#run(this.#stopped.signal);
    this.#watchEnd(this.#stopped.signal);
  }

  /** Ask now: an act has changed something. */
  refresh() {
    this.#wake();
  }

  /** Return the seconds until the page turns off. */
  get left_s() {
    return Math.max(0, (this.#ends_ms - performance.now()) / 1000);
  }

  /** Ask no more. */
  close() {
    this.#stopped.abort();
    clearInterval(this.#clock);
    document.removeEventListener("visibilitychange", this.#onVisible);
  }

  #onVisible = () => document.hidden || this.refresh();

  #readEnd(session) {
    this.#ends_ms = performance.now() + 1000 * session.ends_in_s;
  }

  async #run(signal) {
    for (let turn = 1; !signal.aborted; turn += 1) {
      if (!document.hidden) await this.#ask(turn, signal);
      const woken = new Promise((resolve) => (this.#wake = resolve));
      await Promise.race([pause(PERIOD_MS, signal), woken]);
    }
  }

  /** Wait for the box's word that the page is off: without it the box cannot be told from one that is out of reach. */
  async #watchEnd(signal) {
    while (!signal.aborted) {
      try {
        if (await waitForEnd({ signal })) this.dispatchEvent(new Event("off"));
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof BoxError)) throw error;
        await pause(PERIOD_MS, signal);
      }
    }
  }

  async #ask(turn, signal) {
    try {
      if (turn % SESSION_EACH === 0) this.#readEnd(await readSession());
      this.value = await act("status", {}, { signal });
      this.trial = await act("trial", {}, { signal });
      this.isUnreachable = false;
      this.#silent = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof BoxError)) throw error;
      this.isUnreachable = error.code === "unreachable";
      this.#silent = error.code === "acts" ? this.#silent + 1 : 0;
      const isOver = this.isUnreachable && this.left_s === 0;
      if (isOver || this.#silent >= MAX_SILENT) this.dispatchEvent(new Event("off"));
    }
    this.dispatchEvent(new Event("change"));
  }
}
