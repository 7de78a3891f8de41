// The count: crossings in the form of the labels, how far the film is counted, and the steps that can be undone. Pure.

export const DIRECTIONS = ["A->B", "B->A"];
/** By `centre/validate/crossing_truth.py`: the tolerance of a time that states none. */
const TOLERANCE_S = 0.3;
/** A person presses a key so much later than the picture, of the clock and not of the film. */
const REACTION_S = 0.5;
/** A crossing so near to the begin or end of the film is too near for a tracker. */
const EDGE_S = 0.5;
/** Between a picture and the time up to which the film is counted: a picture more or less. */
const SLACK_S = 0.25;
const MAX_UNDO = 500;

export class CountState {
  #before = [];

  /** `saved` is `{ counted, crossings }`, as the server sends it. */
  constructor(duration_s, saved) {
    this.duration_s = duration_s;
    this.counted_s = saved.counted;
    this.crossings = saved.crossings;
  }

  get canUndo() { return this.#before.length > 0; }
  get isWhole() { return this.counted_s >= this.duration_s - SLACK_S; }
  get disputed() { return this.crossings.filter((one) => one.claims?.length); }

  has(one) { return this.crossings.includes(one); }

  total(direction, label) {
    return this.crossings.filter((one) => one.dir === direction && one.class === label).length;
  }

  /** Add a crossing. `rate` is how fast the film plays, 0 if it stands. Returns it. */
  add({ t_s, place, direction, label, rate }) {
    const added = this.#timed({ dir: direction, class: label, sure: true }, t_s, rate);
    if (place !== null) added.pos = place;
    this.#replace([...this.crossings, added]);
    return added;
  }

  /** Change a crossing, and return what replaces it. */
  change(one, fields) {
    const changed = { ...one, ...fields };
    this.#replace(this.crossings.map((each) => (each === one ? changed : each)));
    return changed;
  }

  /** Change a crossing on which two people differ: their claims end. */
  settle(one, fields) { return this.change(one, { ...fields, claims: undefined }); }

  /** Set the time to that of the picture that stands. */
  setTime(one, t_s) {
    const { t_tol, edge, ...rest } = one;
    const changed = this.#timed(rest, t_s, 0);
    this.#replace(this.crossings.map((each) => (each === one ? changed : each)));
    return changed;
  }

  remove(one) { this.#replace(this.crossings.filter((each) => each !== one)); }

  undo() { if (this.canUndo) this.crossings = this.#before.pop(); }

  /** The film has played from one time to another. */
  advance(from_s, shown_s) {
    if (from_s !== null && from_s <= this.counted_s + SLACK_S) this.counted_s = Math.max(this.counted_s, shown_s);
  }

  /** The film is at its end. */
  end(shown_s) {
    if (shown_s <= this.counted_s + SLACK_S) this.counted_s = this.duration_s;
  }

  #timed(fields, t_s, rate) {
    const timed = { ...fields, t: Math.min(Math.round(t_s * 1000) / 1000, this.duration_s) };
    if (isAtEdge(t_s, this.duration_s)) timed.edge = true;
    if (rate > 0) timed.t_tol = Math.round((TOLERANCE_S + REACTION_S * rate) * 100) / 100;
    return timed;
  }

  #replace(crossings) {
    this.#before.push(this.crossings);
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    this.crossings = crossings.sort((one, other) => one.t - other.t);
  }
}

function isAtEdge(t_s, duration_s) { return t_s < EDGE_S || t_s > duration_s - EDGE_S; }

/** Where on a line, 0 to 1, is the nearest to a point. All are in pixels. */
export function placeOnLine([x, y], [from, to]) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const place = ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy);
  return Math.round(Math.min(1, Math.max(0, place)) * 1000) / 1000;
}
