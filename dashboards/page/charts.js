import "./vendor/d3.min.js";
import "./vendor/plot.min.js";
import { h } from "./dom.js";

export const { Plot, d3 } = globalThis;

const INITS = { random: "--random", shared: "--shared" };
const OTHERS = ["--pruned", "--interrupted", "--complete", "--failed", "--soft"];
const drawers = new WeakMap();
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye"];

// Removes style elements, which the content security policy forbids; page.css has the few rules that Plot needs.
function withoutStyles(drawn) {
  for (const element of drawn.querySelectorAll("style")) element.remove();
  return drawn;
}

export const chart = (options) => withoutStyles(Plot.plot({ className: "chart", style: { fontSize: "12px" }, ...options }));

// Returns the CSS color variable for each word: initializations have fixed colors; other words cycle through a list.
export function colorsOf(words) {
  const known = Object.keys(INITS).filter((word) => words.has(word));
  const others = [...words].filter((word) => !(word in INITS)).sort();
  return new Map([...known.map((word) => [word, INITS[word]]), ...others.map((word, i) => [word, OTHERS[i % OTHERS.length]])]);
}

// Returns the color and symbol scales of two columns; a chart and its legend share them.
export function scalesOf(points, { color, symbol }) {
  const colors = colorsOf(new Set(points.map((point) => point[color] ?? "")));
  const names = [...new Set(points.map((point) => point[symbol] ?? ""))].sort();
  return {
    color: { domain: [...colors.keys()], range: [...colors.values()].map((name) => `var(${name})`) },
    symbol: { domain: names, range: names.map((_, index) => SYMBOLS[index % SYMBOLS.length]) },
  };
}

export function legend({ color, symbol }) {
  const colors = color.domain.some((word) => word) ? [Plot.legend({ color, className: "chart" })] : [];
  const shapes = symbol.domain.length > 1 ? [Plot.legend({ symbol, className: "chart" })] : [];
  return h("div", { class: "legend" }, [...colors, ...shapes].map(withoutStyles));
}

// Returns a function that draws `make(width in pixels)` into a frame, now and whenever the frame's width changes.
export function responsive(frame) {
  const state = { make: null, width: 0 };
  const draw = () => { if (state.make && state.width) frame.replaceChildren(...[state.make(state.width)].flat()); };
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === state.width) return;
    state.width = width;
    draw();
  }).observe(frame);
  return (make) => {
    state.make = make;
    state.width ||= Math.floor(frame.clientWidth);
    draw();
  };
}

// Shows a message in place of a chart and stops redrawing that chart.
export function message(frame, text) {
  drawers.get(frame)?.(null);
  for (const name of ["role", "aria-label"]) frame.removeAttribute(name);
  frame.replaceChildren(h("p", { class: "none" }, text));
}

// Draws a chart without interaction; a screen reader reads `label` instead.
export function picture(frame, label, make) {
  frame.setAttribute("role", "img");
  frame.setAttribute("aria-label", label);
  if (!drawers.has(frame)) drawers.set(frame, responsive(frame));
  drawers.get(frame)(make);
}
