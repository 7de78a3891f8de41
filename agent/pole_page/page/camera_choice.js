// The choice of a camera, if the box has several; it is kept from view to view.

import { element } from "/editor/dom.js";
import { text } from "./texts.js";

let chosen = null;

/** Return the name of the camera that is chosen, or null if the box has none. */
export function chosenCamera(session) {
  const names = session.cameras.map((one) => one.name);
  if (!names.includes(chosen)) chosen = names[0] ?? null;
  return chosen;
}

/** Return a field to choose a camera, or null if there is nothing to choose. */
export function cameraChoice(session, onChoice) {
  if (session.cameras.length < 2) return null;
  const current = chosenCamera(session);
  const option = ({ name }) => element("option", { value: name, selected: name === current }, name);
  const viewsOf = (camera) => session.cameras.filter((one) => one.view_of === camera);
  const options = viewsOf(null).map((camera) => {
    const views = viewsOf(camera.name).map(option);
    return [option(camera), views.length ? element("optgroup", { label: text("views_of", { camera: camera.name }) }, views) : null];
  });
  const select = element("select", {
    change: () => {
      chosen = select.value;
      onChoice(chosen);
    },
  }, options);
  return element("label", { class: "one-line" }, text("camera"), select);
}
