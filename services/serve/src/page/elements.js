// Elements: makes nodes of a page and of a drawing.

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

export const h = (name, attributes, ...children) => make(document.createElement(name), attributes, children);
export const s = (name, attributes, ...children) => make(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

/** Shape and word of a state; the colour comes from its class. */
const SHAPES = {
  warning: "M7 1 13.4 13H.6Z",
  watch: "M7 .6 13.4 7 7 13.4 .6 7Z",
};

export function mark(state) {
  const shape = SHAPES[state];
  if (shape) return s("svg", { class: `mark of-${state}`, viewBox: "0 0 14 14", "aria-hidden": "true" }, s("path", { d: shape, fill: "currentColor" }));
  if (state === "silent") return s("svg", { class: "mark of-silent", viewBox: "0 0 14 14", "aria-hidden": "true" }, s("rect", { x: 1.5, y: 1.5, width: 11, height: 11, fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "2.75 1.8" }));
  if (state === "late") return s("svg", { class: "mark of-late", viewBox: "0 0 14 14", "aria-hidden": "true" }, s("circle", { cx: 7, cy: 7, r: 5.6, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }), s("path", { d: "M7 3.6V7l2.4 1.6", fill: "none", stroke: "currentColor", "stroke-width": 1.6 }));
  return s("svg", { class: "mark of-normal", viewBox: "0 0 14 14", "aria-hidden": "true" }, s("circle", { cx: 7, cy: 7, r: 4.6, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }));
}

export const WORD = { warning: "Warning", watch: "Watch", normal: "Normal", silent: "Silent", late: "Late" };

export const fill = (node, ...children) => {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};
