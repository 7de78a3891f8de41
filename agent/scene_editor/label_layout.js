// Which labels of a crowd are shown: those that overlap no label before them. Pure.

/** Of the width of a letter, in font sizes: the mean of a sans serif, so that few labels touch. */
const LETTER_WIDTH = 0.6;

/**
 * Return the labels `{ text, x, y, font_px }`, centred at their place, that overlap none of those before. One with other
 * places, `shifts_px` down, is at the first that is free.
 */
export function freeLabels(labels) {
  const shown = [];
  for (const label of labels) {
    const places = [0, ...label.shifts_px ?? []].map((down_px) => ({ ...label, y: label.y + down_px }));
    const free = places.find((place) => !shown.some((other) => overlaps(place, other)));
    if (free) shown.push(free);
  }
  return shown;
}

function overlaps(label, other) {
  const width = (width_px(label) + width_px(other)) / 2;
  return Math.abs(label.x - other.x) < width && Math.abs(label.y - other.y) < (label.font_px + other.font_px) / 2;
}

const width_px = ({ text, font_px }) => text.length * font_px * LETTER_WIDTH;
