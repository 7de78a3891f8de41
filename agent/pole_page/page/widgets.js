// Small parts of the page, made of elements.

import { childNodes, element } from "/editor/dom.js";

/** Return a button. It submits nothing. */
export function button(label, click, attributes = {}) {
  return element("button", { type: "button", click, ...attributes }, label);
}

/** Return a value that keeps its own direction inside of a line that runs the other way. */
export function value(content) {
  return element("bdi", {}, content);
}

/** Return the parts of a sentence of the box, with what is typed, such as `check 6`, as code in its own direction. */
export function withCode(sentence) {
  return sentence.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

/** Replace the children of an element. */
export function show(parent, ...children) {
  parent.replaceChildren(...childNodes(children));
}

/** Set an element's text only if it differs: a screen reader reads a change. */
export function setText(target, content) {
  if (target.textContent !== content) target.textContent = content;
}
