import { Plot, chart, colorsOf, d3, responsive, scalesOf } from "./charts.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { pickable } from "./picking.js";

const MAX_ELEMENTS = 5000; // more dots are drawn on a canvas, because one element for each would take a second to lay out
const MARGINS = { marginLeft: 44, marginRight: 14, marginTop: 28, marginBottom: 38 };
const NARROW = 620;

// Returns a function that draws a figure's dots, lines, rings, intervals and rules, in small multiples if its facet has several values.
export function scatter(frame, { onPick }) {
  const draw = responsive(frame);
  const pick = pickable(frame, { onPick });
  const state = { make: null };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.make && draw(state.make));
  return (data) => {
    state.make = (width) => {
      const layout = layoutOf(data, width);
      const svg = drawn(data, layout);
      const order = d3.sort(data.points, (point) => point.x, (point) => point.y);
      const place = placer(svg, layout);
      pick(svg, { order, place, label: data.label });
      return data.points.length > MAX_ELEMENTS ? h("div", { class: "layers" }, dots(frame, svg, { ...data, place }), svg) : svg;
    };
    draw(state.make);
  };
}

function layoutOf({ points, figure: { facet } }, width) {
  const facets = facet ? new Set(points.map((point) => point[facet])).size : 1;
  const sideBySide = facets > 1 && width >= NARROW;
  const height = facets > 1 && !sideBySide ? 60 + 200 * facets : Math.min(380, Math.max(250, width * 0.6));
  return { width, height, channel: facets > 1 ? (sideBySide ? "fx" : "fy") : null, facet };
}

function drawn({ figure, points, lines, rings, intervals, rules }, { width, height, channel, facet }) {
  const many = points.length > MAX_ELEMENTS;
  const at = (more) => ({ x: "x", y: "y", ...(channel && { [channel]: facet }), ...more });
  const { color, symbol } = figure;
  const dot = { stroke: color, symbol, r: 3, strokeWidth: 1.3, strokeOpacity: points.length > 1000 ? 0.45 : 0.9 };
  const log = figure.x.scale === "log";
  const domain = figure.y.domain ? { domain: figure.y.domain } : {};
  return chart({
    width, height, ...MARGINS, marginRight: channel === "fy" ? 60 : MARGINS.marginRight, ...scalesOf(points, figure),
    x: { label: axisLabel(figure.x), grid: true, nice: !log, ...(log && { type: "log" }), insetLeft: 6, insetRight: 6,
      ticks: Math.max(3, Math.min(8, width / (channel === "fx" ? 260 : 90))), tickFormat: number },
    y: { label: axisLabel(figure.y), grid: true, inset: 6, ticks: 6, ...domain },
    fx: { label: null }, fy: { label: null },
    marks: [
      Plot.ruleY(rules, { y: "y", stroke: "currentColor", strokeOpacity: 0.5, strokeDasharray: "2,3" }),
      Plot.text(rules, { y: "y", text: "label", frameAnchor: "right", dy: -7, fill: "var(--soft)" }),
      Plot.line(lines, at({ z: "z", stroke: color, strokeOpacity: 0.45, strokeWidth: 1.2 })),
      many ? null : Plot.dot(points, at(dot)),
      Plot.ruleX(intervals, { x: "x", y1: "y1", y2: "y2", ...(channel && { [channel]: facet }), stroke: color, strokeOpacity: 0.7 }),
      Plot.dot(rings, at({ r: 6.5, stroke: color, strokeWidth: 1.3 })),
      points.length ? null : Plot.text([figure.caption], { frameAnchor: "middle" }),
      Plot.dot(points, Plot.pointer(at({ r: 7, stroke: "currentColor", strokeWidth: 2 }))),
      Plot.tip(points, Plot.pointer(at({ title: "text", fill: "var(--card)", stroke: "var(--soft)", fontSize: 12 }))),
    ],
  });
}

const axisLabel = ({ label, unit }) => (unit ? `${label} (${unit})` : label);

// Returns a function from a point to its position in pixels of the chart.
function placer(svg, { channel, facet }) {
  const [x, y] = ["x", "y"].map((name) => svg.scale(name).apply);
  const fx = channel === "fx" ? svg.scale("fx").apply : () => MARGINS.marginLeft;
  const fy = channel === "fy" ? svg.scale("fy").apply : () => MARGINS.marginTop;
  return (point) => [x(point.x) + fx(point[facet]) - MARGINS.marginLeft, y(point.y) + fy(point[facet]) - MARGINS.marginTop];
}

// Returns a canvas with only the dots. It is placed below the chart, which has the axes, tips and scales.
function dots(frame, svg, { figure, points, place }) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const density = window.devicePixelRatio || 1;
  const [width, height] = ["width", "height"].map((name) => Number(svg.getAttribute(name)));
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  pen.globalAlpha = 0.4;
  const style = getComputedStyle(frame);
  const groups = d3.group(points, (point) => point[figure.color] ?? "");
  const colors = colorsOf(new Set(groups.keys()));
  for (const [word, group] of groups) {
    pen.fillStyle = style.getPropertyValue(colors.get(word)).trim();
    pen.beginPath();
    for (const point of group) { const [x, y] = place(point); pen.rect(x - 1.3, y - 1.3, 2.6, 2.6); }
    pen.fill();
  }
  return canvas;
}
