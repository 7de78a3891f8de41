// Elements of the page. Text is set as text and never as HTML: a camera's name is not ours.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element with properties, listeners (`onclick`), `dataset`, `aria-*` attributes and children. */
export function element(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Return an element of SVG. */
export function drawing(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name in made && !name.startsWith("aria-") && !(made instanceof SVGElement)) made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null));
  return made;
}

/** Return a button. It submits nothing. */
export function button(label, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, label);
}

/** Return a value that keeps its own direction inside of a line that runs the other way. */
export function value(content, properties = {}) {
  return element("bdi", properties, content);
}

/** Replace the children of an element. */
export function show(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== undefined && child !== null));
}

/** Set an element's text only if it differs: a screen reader reads a change. */
export function setText(target, content) {
  if (target.textContent !== content) target.textContent = content;
}
