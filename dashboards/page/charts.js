import "./vendor/d3.min.js";
import "./vendor/plot.min.js";
import { h } from "./dom.js";

export const { Plot, d3 } = globalThis;

const STARTS = { shared: "var(--shared)", random: "var(--random)", learned: "var(--learned)" };
const drawers = new WeakMap();
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye"];

// The content policy allows no style element; page.css holds the few rules that Plot would bring along.
function unstyled(drawn) {
  for (const element of drawn.querySelectorAll("style")) element.remove();
  return drawn;
}

export const chart = (options) => unstyled(Plot.plot({ className: "chart", style: { fontSize: "12px" }, ...options }));

// Colours by start and symbols by name, the same in every chart of a study and in its legend.
export function keysOf(points, name) {
  const starts = Object.keys(STARTS).filter((start) => points.some((point) => point.start === start));
  const names = [...new Set(points.map((point) => point[name]))].sort();
  return {
    color: { domain: starts, range: starts.map((start) => STARTS[start]) },
    symbol: { domain: names, range: names.map((_, index) => SYMBOLS[index % SYMBOLS.length]) },
  };
}

export function legend({ color, symbol }) {
  const starts = { ...color, domain: color.domain.map((start) => `${start} start`) };
  const shapes = symbol.domain.length > 1 ? [Plot.legend({ symbol, className: "chart" })] : [];
  return h("div", { class: "legend" }, [Plot.legend({ color: starts, className: "chart" }), ...shapes].map(unstyled));
}

// Draws into a frame now and whenever its width changes; `make` is given the width in pixels.
export function fitted(frame) {
  const held = { make: null, width: 0 };
  const draw = () => { if (held.make && held.width) frame.replaceChildren(...[held.make(held.width)].flat()); };
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === held.width) return;
    held.width = width;
    draw();
  }).observe(frame);
  return (make) => {
    held.make = make;
    held.width ||= Math.floor(frame.clientWidth);
    draw();
  };
}

// Words in place of a chart, which then does not come back when the width changes.
export function words(frame, text) {
  drawers.get(frame)?.(null);
  for (const name of ["role", "aria-label"]) frame.removeAttribute(name);
  frame.replaceChildren(h("p", { class: "none" }, text));
}

// A chart that is only looked at: a screen reader is told `label` in its place.
export function picture(frame, label, make) {
  frame.setAttribute("role", "img");
  frame.setAttribute("aria-label", label);
  if (!drawers.has(frame)) drawers.set(frame, fitted(frame));
  drawers.get(frame)(make);
}
