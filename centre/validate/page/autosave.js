// Saves the count with each change: one request at a time, the newest count in the next one.

const RETRY_MS = 2000;

export class Autosave {
  #revision;
  #waiting = null;
  #isSending = false;
  #isRefused = false;

  /** `onState(state, message)`: `saved`, `saving`, `offline` (it is tried again), or `refused` with the server's words. */
  constructor(revision, onState) {
    this.#revision = revision;
    this.onState = onState;
  }

  get isSaved() { return this.#waiting === null && !this.#isSending; }

  /** Save a count, `{ counted, crossings }`. */
  save(count) {
    this.#waiting = count;
    if (!this.#isSending && !this.#isRefused) this.#send();
  }

  async #send() {
    this.#isSending = true;
    const count = this.#waiting;
    this.#waiting = null;
    this.onState("saving");
    const [state, message] = await this.#post(count);
    this.#isSending = false;
    if (state !== "saved") this.#waiting ??= count;
    this.#isRefused = state === "refused";
    this.onState(state, message);
    if (state === "saved" && this.#waiting !== null) this.#send();
    if (state === "offline") setTimeout(() => { if (!this.#isSending) this.#send(); }, RETRY_MS);
  }

  async #post(count) {
    try {
      const reply = await fetch("count", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ revision: this.#revision, ...count }),
      });
      const body = await reply.json();
      if (!reply.ok) return ["refused", body.error.message];
      this.#revision = body.revision;
      return ["saved", ""];
    } catch {
      return ["offline", ""];
    }
  }
}
