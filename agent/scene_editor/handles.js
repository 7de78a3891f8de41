// Handles of the selected element: its corners, new corners in the middle of its edges, and the arrow of a direction.

import { shapeOf } from "./element_shape.js";
import { isArea, nameOf, pointsOf, removeCorner, tableAt } from "./elements.js";
import { directionDeg, pointInDirection, polygonCentre } from "./geometry.js";
import { DIRECTION_LENGTH } from "./scene_drawing.js";

/**
 * The handles as `{ id, kind, point, label, onDrag(point, done), onDelete }`. They are dragged from the table as it was
 * before the drag; `done` makes it one step of undo.
 */
export function selectedHandles(editor) {
  const { selection } = editor;
  const { tables } = editor.document;
  const table = tableAt(tables, selection);
  const shape = table && shapeOf(tables, selection.list, table);
  if (!shape) return [];
  const shownTable = editor.previewOf(selection) ?? table;
  const shown = shapeOf(tables, selection.list, shownTable).corners;
  const { corners } = shape;
  const handles = shown.map((corner, at) => ({
    id: `${selection.list}-${selection.index}-corner-${at}`,
    kind: "corner",
    corner: at,
    point: shape.pointOf(corner),
    label: editor.t(isArea(selection.list) ? "handle_corner" : "handle_end", { number: at + 1, name: describe(editor, selection, table) }),
    onDrag: (to, done, merge) => moveCorner(editor, shape, corners, { at, to, done, merge }),
    onDelete: () => deleteCorner(editor, selection, at),
  }));
  if (isArea(selection.list) && shown.length < shape.maxCorners) handles.push(...middleHandles(editor, shape, shown));
  const points = pointsOf(selection.list, shownTable);
  if (selection.list === "zone" && points && Number.isFinite(shownTable.direction_deg)) handles.push(directionHandle(editor, table, shownTable, points));
  return handles.filter(({ point }) => point !== null);
}

function describe(editor, selection, table) {
  return nameOf(table) ?? editor.t("numbered", { name: editor.t(`list_${selection.list}`), number: selection.index + 1 });
}

/** Move one of the corners. Returns false if nothing of the element would be in the picture. */
function moveCorner(editor, shape, corners, { at, to, done, merge }) {
  const moved = shape.cornerAt(to);
  const all = moved && corners.map((corner, each) => (each === at ? moved : corner));
  const shown = all && shape.shownWith(all);
  if (!shown) {
    if (done) editor.endPreview();
    return false;
  }
  editor.changeTable(editor.selection, done ? shape.tableWith(all) : shown, done, merge);
  return true;
}

function middleHandles(editor, shape, shown) {
  const { list, index } = editor.selection;
  const { corners } = shape;
  const after = (all, at) => shape.between(all[at], all[(at + 1) % all.length]);
  return shown.map((_, at) => ({
    id: `${list}-${index}-middle-${at}`,
    kind: "middle",
    point: shape.pointOf(after(shown, at)),
    label: editor.t("handle_middle", { number: at + 1 }),
    onDrag: (to, done, merge) => {
      const all = [...corners.slice(0, at + 1), after(corners, at), ...corners.slice(at + 1)];
      if (moveCorner(editor, shape, all, { at: at + 1, to, done, merge }) && done) editor.focusHandle(`${list}-${index}-corner-${at + 1}`);
    },
  }));
}

function directionHandle(editor, table, shownTable, points) {
  const { aspect } = editor.viewport;
  const { selection } = editor;
  const centre = polygonCentre(points);
  const turn = (direction_deg, done, merge) => editor.changeTable(selection, { ...table, direction_deg }, done, merge);
  return {
    id: "direction",
    kind: "direction",
    point: pointInDirection(centre, shownTable.direction_deg, DIRECTION_LENGTH, aspect),
    label: editor.t("handle_direction", { degrees: shownTable.direction_deg }),
    onDrag: (to, done, merge) => turn(directionDeg(centre, to, aspect), done, merge),
    onStep: (steps) => turn((Math.round(table.direction_deg) + steps + 360) % 360, true, "direction"),
  };
}

/** Delete a corner; the whole line with an end of it. */
export function deleteCorner(editor, selection, at) {
  if (!isArea(selection.list)) {
    editor.deleteSelected();
    return;
  }
  const { tables } = editor.document;
  const shape = shapeOf(tables, selection.list, tableAt(tables, selection));
  const left = shape && removeCorner(shape.corners, at);
  if (!left) {
    editor.announce(editor.t("too_few_corners"));
    return;
  }
  editor.changeTable(selection, shape.tableWith(left), true);
  editor.focusHandle(`${selection.list}-${selection.index}-corner-${Math.min(at, left.length - 1)}`);
}
