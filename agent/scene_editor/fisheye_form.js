// The numbers of a fisheye camera's lens and of the selected view, as fields.

import { element } from "./dom.js";
import { LENS_RANGES, NEW_VIEW, viewRanges } from "./fisheye_version.js";

const LENS_FIELDS = [["axis_tilt_deg", null], ["field_of_view_deg", null], ["circle", null], ["centre", 0], ["centre", 1]];
const CALIBRATION_FIELDS = [["focal_length", null], ["k", 0], ["k", 1], ["k", 2], ["k", 3]];
const OPTIONAL = ["field_of_view_deg", "focal_length"];
const VIEW_FIELDS = ["pan_deg", "tilt_deg", "field_of_view_deg", "width_px", "height_px"];
const EVEN = ["width_px", "height_px"];

export class FisheyeForm {
  #editor;
  #state;
  #index = 0;
  #updates = [];
  #name;
  #projection;

  /** `onDelete` is called to delete the shown view. */
  constructor(editor, state, onDelete) {
    this.#editor = editor;
    this.#state = state;
    const calibration = element("details", {}, this.#text(element("summary"), "fisheye_calibration"), ...CALIBRATION_FIELDS.map((field) => this.#lensField(...field)));
    this.lensNode = element("div", { class: "properties" }, ...LENS_FIELDS.map((field) => this.#lensField(...field)), calibration);
    this.#name = element("input", { type: "text", name: "view_name", maxlength: 63, dir: "ltr", change: () => this.#rename() });
    this.#projection = element("select", { name: "view_projection", change: () => this.#state.setView(this.#index, NEW_VIEW[this.#projection.value]) },
      ...Object.keys(NEW_VIEW).map((projection) => this.#text(element("option", { value: projection }), `fisheye_${projection}`)));
    this.viewNode = element("div", { class: "properties" },
      this.#field("key_name", this.#name), this.#field("fisheye_projection", this.#projection), ...VIEW_FIELDS.map((key) => this.#viewField(key)),
      element("div", { class: "buttons" }, this.#text(element("button", { type: "button", class: "danger", "data-action": "fisheye_delete", click: onDelete }), "delete_element")));
  }

  /** Show the values of the lens, and of the view at an index. Fields with the focus keep what is typed. */
  show(index) {
    this.#index = index;
    const view = this.#state.views[index];
    this.viewNode.hidden = !view;
    for (const update of this.#updates) update(view);
    if (!view) return;
    if (this.#name !== document.activeElement) this.#name.value = view.name;
    this.#projection.value = view.options.projection;
  }

  #lensField(key, part) {
    const value = () => (part === null ? this.#state.lens[key] : this.#state.lens[key][part]);
    const input = this.#number(part === null ? `lens_${key}` : `lens_${key}_${part}`, OPTIONAL.includes(key), false, (number) => this.#state.setLens(key, part, number));
    this.#updates.push(() => showNumber(input, value(), LENS_RANGES[key]));
    return this.#field(part === null ? `fisheye_${key}` : `fisheye_${key}_${part}`, input);
  }

  #viewField(key) {
    const input = this.#number(`view_${key}`, false, EVEN.includes(key), (number) => this.#state.setView(this.#index, { [key]: number }, `type ${key}`));
    this.#updates.push((view) => { if (view) showNumber(input, view.options[key], viewRanges(view.options)[key]); });
    return this.#field(`fisheye_view_${key}`, input);
  }

  /** A field that takes a number within its range, an even one if `isEven`, and nothing if `isOptional`. */
  #number(name, isOptional, isEven, use) {
    const input = element("input", { type: "number", name, dir: "ltr", input: () => {
      const value = input.valueAsNumber;
      const isEmpty = isOptional && input.value === "" && !input.validity.badInput;
      const isAllowed = isEmpty || (value >= Number(input.min) && value <= Number(input.max) && (!isEven || value % 2 === 0));
      input.setAttribute("aria-invalid", String(!isAllowed));
      if (isAllowed) use(isEmpty ? undefined : value);
    } });
    return input;
  }

  #rename() {
    const isTaken = this.#state.renameView(this.#index, this.#name.value);
    this.#name.setAttribute("aria-invalid", String(!isTaken));
    if (!isTaken) this.#editor.announce(this.#editor.t("fisheye_name_refused"));
  }

  #field(key, control) {
    return element("label", { class: "field" }, this.#text(element("span"), key), control);
  }

  #text(node, key) {
    this.#editor.bindText(node, key);
    return node;
  }
}

function showNumber(input, value, [min, max, step]) {
  Object.assign(input, { min, max, step });
  if (input === document.activeElement) return;
  input.value = value ?? "";
  input.setAttribute("aria-invalid", "false");
}
