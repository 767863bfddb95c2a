import "./vendor/d3.min.js";
import "./vendor/plot.min.js";
import { h } from "./dom.js";

export const { Plot, d3 } = globalThis;

const INITS = { random: "--random", shared: "--shared", learned: "--learned" };
const OTHERS = ["--pruned", "--interrupted", "--complete", "--failed", "--soft"];
const drawers = new WeakMap();
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye"];

// The content policy allows no style element; page.css holds the few rules that Plot would bring along.
function unstyled(drawn) {
  for (const element of drawn.querySelectorAll("style")) element.remove();
  return drawn;
}

export const chart = (options) => unstyled(Plot.plot({ className: "chart", style: { fontSize: "12px" }, ...options }));

// The name of the color of each word: initializations have their own, others take turns.
export function colorsOf(words) {
  const known = Object.keys(INITS).filter((word) => words.has(word));
  const others = [...words].filter((word) => !(word in INITS)).sort();
  return new Map([...known.map((word) => [word, INITS[word]]), ...others.map((word, i) => [word, OTHERS[i % OTHERS.length]])]);
}

// Colors and symbols by the words of two columns, the same in a chart and in its legend.
export function keysOf(points, { color, symbol }) {
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
  return h("div", { class: "legend" }, [...colors, ...shapes].map(unstyled));
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

// A chart that is only looked at: a screen reader reads `label` in its place.
export function picture(frame, label, make) {
  frame.setAttribute("role", "img");
  frame.setAttribute("aria-label", label);
  if (!drawers.has(frame)) drawers.set(frame, fitted(frame));
  drawers.get(frame)(make);
}
