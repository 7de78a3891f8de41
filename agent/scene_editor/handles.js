// Handles of the selected element: its corners, new corners in the middle of its edges, and the arrow of a direction.

import { insertCorner, isArea, MAX_CORNERS, movePoint, nameOf, pointsOf, removeCorner, tableAt, withPoints } from "./elements.js";
import { directionDeg, middle, pointInDirection, polygonCentre } from "./geometry.js";
import { DIRECTION_LENGTH } from "./scene_drawing.js";

/**
 * The handles as `{ id, kind, point, label, onDrag(point, done), onDelete }`. They are dragged from the table as it was
 * before the drag; `done` makes it one step of undo.
 */
export function selectedHandles(editor) {
  const { selection } = editor;
  const table = tableAt(editor.document.tables, selection);
  const points = table && pointsOf(selection.list, table);
  if (!points) return [];
  const shownTable = editor.previewOf(selection) ?? table;
  const shown = pointsOf(selection.list, shownTable);
  const change = (changed, done, merge) => editor.changeTable(selection, changed, done, merge);
  const handles = shown.map((point, at) => ({
    id: `${selection.list}-${selection.index}-corner-${at}`,
    kind: "corner",
    corner: at,
    point,
    label: editor.t(isArea(selection.list) ? "handle_corner" : "handle_end", { number: at + 1, name: describe(editor, selection, table) }),
    onDrag: (to, done, merge) => change(withPoints(selection.list, table, movePoint(points, at, to)), done, merge),
    onDelete: () => deleteCorner(editor, selection, table, points, at),
  }));
  if (isArea(selection.list) && shown.length < MAX_CORNERS) handles.push(...middleHandles(editor, selection, { table, points, shown, change }));
  if (selection.list === "zone" && Number.isFinite(shownTable.direction_deg)) handles.push(directionHandle(editor, table, { shownTable, shown, change }));
  return handles;
}

function describe(editor, selection, table) {
  return nameOf(table) ?? editor.t("numbered", { name: editor.t(`list_${selection.list}`), number: selection.index + 1 });
}

function middleHandles(editor, selection, { table, points, shown, change }) {
  return shown.map((point, at) => ({
    id: `${selection.list}-${selection.index}-middle-${at}`,
    kind: "middle",
    point: middle(point, shown[(at + 1) % shown.length]),
    label: editor.t("handle_middle", { number: at + 1 }),
    onDrag: (to, done, merge) => {
      change(withPoints(selection.list, table, movePoint(insertCorner(points, at), at + 1, to)), done, merge);
      if (done) editor.focusHandle(`${selection.list}-${selection.index}-corner-${at + 1}`);
    },
  }));
}

function directionHandle(editor, table, { shownTable, shown, change }) {
  const { aspect } = editor.viewport;
  const centre = polygonCentre(shown);
  return {
    id: "direction",
    kind: "direction",
    point: pointInDirection(centre, shownTable.direction_deg, DIRECTION_LENGTH, aspect),
    label: editor.t("handle_direction", { degrees: shownTable.direction_deg }),
    onDrag: (to, done, merge) => change({ ...table, direction_deg: directionDeg(centre, to, aspect) }, done, merge),
    onStep: (steps) => change({ ...table, direction_deg: (Math.round(table.direction_deg) + steps + 360) % 360 }, true, "direction"),
  };
}

/** Delete a corner; the whole line with an end of it. */
export function deleteCorner(editor, selection, table, points, at) {
  if (!isArea(selection.list)) {
    editor.deleteSelected();
    return;
  }
  const left = removeCorner(points, at);
  if (!left) {
    editor.announce(editor.t("too_few_corners"));
    return;
  }
  editor.changeTable(selection, withPoints(selection.list, table, left), true);
  editor.focusHandle(`${selection.list}-${selection.index}-corner-${Math.min(at, left.length - 1)}`);
}
