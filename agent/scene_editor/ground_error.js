// The refusal of marks: `message` has the words of agent/detection/ground_plane.py, `code` and `values` are for
// translations of it.

export class GroundError extends Error {
  constructor(code, message, values = {}) {
    super(message);
    this.name = "GroundError";
    this.code = code;
    this.values = values;
  }
}
