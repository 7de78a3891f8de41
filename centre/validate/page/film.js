// The film: its time since its first picture, as `vigie validate` counts it, and steps of one picture.
//
// The browser's clock is counted from the begin of the file, which may be earlier than the first picture. The time of a
// key is that of the picture that is on the screen (requestVideoFrameCallback), not of the running clock, which is ahead.

export const RATES = [0.25, 0.5, 1, 2, 4];
/** Labels are rounded to a millisecond: a jump goes past it. */
const JUMP_PAST_S = 0.002;

export class Film {
  #video;
  #fps;
  #first_s = null;
  /** The last jump before the first picture, whose time on the browser's clock is not known yet. */
  #wanted_s = null;
  /** Where the film plays on from: the picture that is shown, or the time of a jump. */
  #from_s = 0;
  /** The picture that the last step leads to, until one is shown: steps may come faster. */
  #step_s = null;
  #onShown;
  shown_s = 0;

  /** `onShown(from_s, shown_s)` is called with each picture: the film has played from one to the other, or `from_s` is null; `onChange()` when the film begins, stands or ends. */
  constructor(video, fps, { onShown, onChange, onEnd, onRefused }) {
    this.#video = video;
    this.#fps = fps;
    this.#onShown = onShown;
    video.addEventListener("error", () => onRefused());
    video.addEventListener("ended", () => onEnd(this.shown_s));
    for (const type of ["play", "pause", "ratechange"]) video.addEventListener(type, onChange);
  }

  get isPlaying() { return !this.#video.paused && !this.#video.ended; }
  get rate() { return this.#video.playbackRate; }
  set rate(rate) { this.#video.playbackRate = rate; }

  /** Open the film, and show it at a time, or where a jump meanwhile leads to. */
  async open(url, t_s) {
    const first = new Promise((resolve) => { this.#video.requestVideoFrameCallback((_, { mediaTime }) => resolve(mediaTime)); });
    this.#video.src = url;
    // The first picture may have been presented before it was followed: it is presented again.
    this.#video.addEventListener("loadeddata", () => { if (this.#first_s === null) this.#video.currentTime = 0; }, { once: true });
    this.#first_s = await first;
    this.#follow();
    this.seek(this.#wanted_s ?? t_s);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.#video.play().catch(() => {});
  }

  pause() { this.#video.pause(); }

  seek(t_s) {
    if (this.#first_s === null) this.#wanted_s = t_s;
    this.#from_s = t_s;
    this.#step_s = null;
    this.#go(t_s + JUMP_PAST_S);
  }

  /** Show the next picture, or with -1 the one before. */
  step(count) {
    this.pause();
    const last_s = this.#video.duration - this.#first_s - 1 / this.#fps;
    this.#step_s = Math.max(0, Math.min((this.#step_s ?? this.shown_s) + count / this.#fps, last_s));
    if (count < 0) this.#from_s = this.#step_s;
    // The middle of that picture's time on the screen.
    this.#go(this.#step_s + 0.5 / this.#fps);
  }

  #go(t_s) {
    if (this.#first_s !== null) this.#video.currentTime = this.#first_s + Math.max(0, t_s);
  }

  #follow() {
    this.#video.requestVideoFrameCallback((_, { mediaTime }) => {
      this.shown_s = Math.max(0, mediaTime - this.#first_s);
      const { seeking } = this.#video;
      this.#onShown(seeking ? null : this.#from_s, this.shown_s);
      // The picture of a jump may come after another jump was asked for.
      if (!seeking) {
        this.#from_s = this.shown_s;
        this.#step_s = null;
      }
      this.#follow();
    });
  }
}
