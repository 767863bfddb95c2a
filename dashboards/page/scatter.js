import { Plot, chart, d3, fitted, keysOf } from "./charts.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { pickable } from "./picking.js";

const MOST_ELEMENTS = 5000; // above, dots go onto a canvas: an element each would take a second to lay out
const MARGINS = { marginLeft: 44, marginRight: 14, marginTop: 28, marginBottom: 38 };
const NARROW = 620;
const MOST_LADDERS = 150;

// Test accuracy of trials against one of their numbers, as small multiples by `facet` where there is one.
export function scatter(frame, { onPick }) {
  const draw = fitted(frame);
  const pick = pickable(frame, { onPick });
  const held = { make: null };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => held.make && draw(held.make));
  return (data) => {
    held.make = (width) => {
      const layout = layoutOf(data, width);
      const svg = drawn(data, layout);
      const order = d3.sort(data.points, (point) => point.x, (point) => point.y);
      const place = placer(svg, layout);
      pick(svg, { order, place, label: data.label });
      return data.points.length > MOST_ELEMENTS ? h("div", { class: "layers" }, dots(frame, svg, { ...data, place }), svg) : svg;
    };
    draw(held.make);
  };
}

function layoutOf({ points, facet }, width) {
  const facets = facet ? [...new Set(points.map((point) => point[facet]))].length : 1;
  const across = facets > 1 && width >= NARROW;
  const height = facets > 1 && !across ? 60 + 200 * facets : Math.min(380, Math.max(250, width * 0.6));
  return { width, height, channel: facets > 1 ? (across ? "fx" : "fy") : null, facet };
}

function drawn(data, { width, height, channel, facet }) {
  const { points, xLabel, yLabel, log } = data;
  const many = points.length > MOST_ELEMENTS;
  const at = (more) => ({ x: "x", y: "y", ...(channel && { [channel]: facet }), ...more });
  const ladders = data.ladders ? laddersOf(points) : [];
  const shown = ladders.length <= MOST_LADDERS ? ladders : []; // more would hide what they show
  const keys = keysOf(points, data.symbol);
  const dot = { stroke: "start", symbol: data.symbol, r: 3, strokeWidth: 1.3, strokeOpacity: points.length > 1000 ? 0.45 : 0.9 };
  return chart({
    width, height, ...MARGINS, marginRight: channel === "fy" ? 60 : MARGINS.marginRight, ...keys,
    x: { label: xLabel, grid: true, nice: !log, ...(log && { type: "log" }), insetLeft: 6, insetRight: 6,
      ticks: Math.max(3, Math.min(8, width / (channel === "fx" ? 260 : 90))), tickFormat: number },
    y: { label: yLabel, grid: true, inset: 6, ticks: 6 },
    fx: { label: null }, fy: { label: null },
    marks: [
      Plot.line(shown.flat(), at({ z: "ladder", stroke: "start", strokeOpacity: 0.45, strokeWidth: 1.2 })),
      many ? null : Plot.dot(points, at(dot)),
      Plot.dot(shown.filter((rungs) => rungs.length > 2).map((rungs) => d3.greatest(rungs, (rung) => rung.y)),
        at({ r: 6.5, stroke: "start", strokeWidth: 1.3 })),
      points.length ? null : Plot.text(["no complete trial has both numbers yet"], { frameAnchor: "middle" }),
      Plot.dot(points, Plot.pointer(at({ r: 7, stroke: "currentColor", strokeWidth: 2 }))),
      Plot.tip(points, Plot.pointer(at({ title: "text", fill: "var(--card)", stroke: "var(--soft)", fontSize: 12 }))),
    ],
  });
}

// Trials of one neural dataset by rising steps: the rungs of one ladder.
function laddersOf(points) {
  const groups = d3.groups(points, (point) => point.ladder).map(([, rungs]) => d3.sort(rungs, (rung) => rung.steps));
  return groups.filter((rungs) => rungs.length > 1);
}

// Where a point is, in pixels of the chart.
function placer(svg, { channel, facet }) {
  const [x, y] = ["x", "y"].map((name) => svg.scale(name).apply);
  const fx = channel === "fx" ? svg.scale("fx").apply : () => MARGINS.marginLeft;
  const fy = channel === "fy" ? svg.scale("fy").apply : () => MARGINS.marginTop;
  return (point) => [x(point.x) + fx(point[facet]) - MARGINS.marginLeft, y(point.y) + fy(point[facet]) - MARGINS.marginTop];
}

// The dots alone on a canvas below the chart, which has the axes, the tip and the scales.
function dots(frame, svg, { points, place }) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const density = window.devicePixelRatio || 1;
  const [width, height] = ["width", "height"].map((name) => Number(svg.getAttribute(name)));
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  pen.globalAlpha = 0.4;
  const style = getComputedStyle(frame);
  for (const [start, group] of d3.group(points, (point) => point.start)) {
    pen.fillStyle = style.getPropertyValue(`--${start}`).trim();
    pen.beginPath();
    for (const point of group) { const [x, y] = place(point); pen.rect(x - 1.3, y - 1.3, 2.6, 2.6); }
    pen.fill();
  }
  return canvas;
}
