// Small dense matrices: lists of rows.

// Solve a x = b, where b is a list of numbers. Return null if a is singular.
export function solve(a, b) {
  const size = a.length;
  const rows = a.map((row, index) => [...row, b[index]]);
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row][column]) > Math.abs(rows[pivot][column])) pivot = row;
    }
    if (!(Math.abs(rows[pivot][column]) > 0)) return null;
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let row = column + 1; row < size; row++) {
      const factor = rows[row][column] / rows[column][column];
      for (let at = column; at <= size; at++) rows[row][at] -= factor * rows[column][at];
    }
  }
  const found = new Array(size).fill(0);
  for (let row = size - 1; row >= 0; row--) {
    let sum = rows[row][size];
    for (let at = row + 1; at < size; at++) sum -= rows[row][at] * found[at];
    found[row] = sum / rows[row][row];
  }
  return found.every(Number.isFinite) ? found : null;
}

// Solve with a symmetric positive matrix, each unknown in its own unit.
export function solveScaled(normal, b) {
  const unit = normal.map((row, index) => 1 / Math.sqrt(row[index]));
  const scaled = normal.map((row, i) => row.map((value, j) => value * unit[i] * unit[j]));
  const found = solve(scaled, b.map((value, index) => value * unit[index]));
  return found && found.map((value, index) => value * unit[index]);
}

export function invertScaled(normal) {
  const columns = normal.map((_, index) => solveScaled(normal, normal.map((_, row) => (row === index ? 1 : 0))));
  return columns.some((column) => column === null) ? null : transpose(columns);
}

export function transpose(a) {
  return a[0].map((_, column) => a.map((row) => row[column]));
}

export function multiply(a, b) {
  return a.map((row) => b[0].map((_, column) => row.reduce((sum, value, at) => sum + value * b[at][column], 0)));
}

// The product of two matrices of nine numbers, by rows.
export function multiply3(a, b) {
  return a.map((_, at) => {
    const [row, column] = [3 * Math.floor(at / 3), at % 3];
    return a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
  });
}

export function determinant3([a, b, c, d, e, f, g, h, i]) {
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

// Invert nine numbers, by rows. Return null if they are singular.
export function invert3(matrix) {
  const [a, b, c, d, e, f, g, h, i] = matrix;
  const determinant = determinant3(matrix);
  if (!(Math.abs(determinant) > 1e-12)) return null;
  return [
    e * i - f * h, c * h - b * i, b * f - c * e,
    f * g - d * i, a * i - c * g, c * d - a * f,
    d * h - e * g, b * g - a * h, a * e - b * d,
  ].map((value) => value / determinant);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
