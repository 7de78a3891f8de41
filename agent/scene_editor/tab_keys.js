// The keys of a list of tabs: the arrows in the direction of the language, Home and End.

/** Return the place of the tab that a key leads to from the tab at `at` of `count`, or null; its event ends here then. */
export function tabAfterKey(press, tabList, at, count) {
  const forward = getComputedStyle(tabList).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
  const backward = forward === "ArrowLeft" ? "ArrowRight" : "ArrowLeft";
  const next = { [forward]: at + 1, [backward]: at - 1, Home: 0, End: count - 1 }[press.key];
  if (next === undefined || count === 0) return null;
  press.preventDefault();
  press.stopPropagation();
  return (next + count) % count;
}
