import { h } from "./dom.js";
import { number } from "./format.js";

const MARGIN = { left: 52, right: 14, top: 12, bottom: 40 };
const RADIUS = 4;
const REACH = 14;
const SHAPES = ["circle", "square", "triangle", "diamond"];

export const shapeOf = (fields, field) => SHAPES[Math.max(0, fields.indexOf(field)) % SHAPES.length];

// A scatter plot on canvas: tens of thousands of points in one frame, picked by pointer or arrow keys.
export function scatter(frame, { onPick }) {
  const canvas = h("canvas", { tabindex: "0", role: "img" });
  const tip = h("div", { class: "tip", hidden: true });
  frame.replaceChildren(canvas, tip);
  const plot = { canvas, tip, data: null, chosen: -1, order: [], scale: null };
  new ResizeObserver(() => draw(plot)).observe(frame);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(plot));
  canvas.addEventListener("pointermove", (event) => choose(plot, nearest(plot, event.offsetX, event.offsetY)));
  canvas.addEventListener("pointerleave", () => choose(plot, -1));
  canvas.addEventListener("blur", () => choose(plot, -1));
  canvas.addEventListener("click", (event) => {
    const found = nearest(plot, event.offsetX, event.offsetY);
    if (found >= 0) onPick(plot.data.points[found]);
  });
  canvas.addEventListener("keydown", (event) => key(plot, event, onPick));
  return {
    show(data) {
      plot.data = data;
      plot.chosen = -1;
      plot.tip.hidden = true;
      plot.order = data.points.map((_, index) => index).sort((a, b) => data.points[a].x - data.points[b].x);
      canvas.setAttribute("aria-label", data.label);
      draw(plot);
    },
  };
}

function key(plot, event, onPick) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (event.key === "Enter" && plot.chosen >= 0) onPick(plot.data.points[plot.chosen]);
  if (!step || !plot.order.length) return;
  event.preventDefault();
  const at = plot.order.indexOf(plot.chosen);
  const next = at < 0 ? (step > 0 ? 0 : plot.order.length - 1) : (at + step + plot.order.length) % plot.order.length;
  choose(plot, plot.order[next]);
}

function choose(plot, index) {
  if (index === plot.chosen) return;
  plot.chosen = index;
  draw(plot);
  plot.tip.hidden = index < 0;
  if (index < 0) return;
  const point = plot.data.points[index];
  plot.tip.textContent = point.text;
  const [x, y] = plot.scale.place(point);
  const left = Math.min(x + 12, plot.canvas.clientWidth - plot.tip.offsetWidth - 4);
  plot.tip.style.left = `${Math.max(4, left)}px`;
  plot.tip.style.top = `${Math.max(4, y - plot.tip.offsetHeight - 12)}px`;
}

function nearest(plot, px, py) {
  if (!plot.scale) return -1;
  let found = -1;
  let least = REACH * REACH;
  plot.data.points.forEach((point, index) => {
    const [x, y] = plot.scale.place(point);
    const distance = (x - px) ** 2 + (y - py) ** 2;
    if (distance < least) { least = distance; found = index; }
  });
  return found;
}

// About `count` round numbers over [low, high].
export function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function span(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = (high - low) * 0.05 || Math.abs(high) * 0.05 || 0.5;
  return [low - pad, high + pad];
}

function scaleOf({ points, log }, width, height) {
  const across = log ? (value) => Math.log10(Math.max(value, 1)) : (value) => value;
  const bounds = points.reduce(
    (found, point) => [
      Math.min(found[0], across(point.x)), Math.max(found[1], across(point.x)),
      Math.min(found[2], point.y), Math.max(found[3], point.y),
    ], [Infinity, -Infinity, Infinity, -Infinity]);
  const [x0, x1] = points.length ? span(bounds.slice(0, 2)) : [0, 1];
  const [y0, y1] = points.length ? span(bounds.slice(2)) : [0, 1];
  const w = width - MARGIN.left - MARGIN.right;
  const t = height - MARGIN.top - MARGIN.bottom;
  const atX = (value) => MARGIN.left + ((value - x0) / (x1 - x0)) * w;
  const atY = (value) => MARGIN.top + (1 - (value - y0) / (y1 - y0)) * t;
  return { x0, x1, y0, y1, atX, atY, place: (point) => [atX(across(point.x)), atY(point.y)] };
}

function draw(plot) {
  const { canvas, data } = plot;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!data || !width || !height) return;
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  plot.scale = scaleOf(data, width, height);
  axes(pen, plot.scale, { ...data, width, height, line: colour("line"), text: colour("soft") });
  if (!data.points.length) return empty(pen, width, height, colour("soft"));
  pen.globalAlpha = data.points.length > 2000 ? 0.35 : 0.75;
  const paint = { shared: colour("shared"), random: colour("random") };
  for (const point of data.points) {
    pen.fillStyle = paint[point.start] ?? paint.random;
    mark(pen, point.shape, ...plot.scale.place(point), data.points.length > 2000 ? 2.5 : RADIUS);
  }
  pen.globalAlpha = 1;
  if (plot.chosen >= 0) ring(pen, plot.scale.place(data.points[plot.chosen]), colour("ink"));
}

function axes(pen, scale, { width, height, line, text, xLabel, yLabel, log }) {
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 1;
  pen.strokeStyle = line;
  pen.fillStyle = text;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const value of ticks(scale.y0, scale.y1, height / 60)) {
    const y = Math.round(scale.atY(value)) + 0.5;
    pen.beginPath(); pen.moveTo(MARGIN.left, y); pen.lineTo(width - MARGIN.right, y); pen.stroke();
    pen.fillText(number(value), MARGIN.left - 8, y);
  }
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const value of ticks(scale.x0, scale.x1, width / 90)) {
    const x = Math.round(scale.atX(value)) + 0.5;
    pen.beginPath(); pen.moveTo(x, MARGIN.top); pen.lineTo(x, height - MARGIN.bottom); pen.stroke();
    pen.fillText(log ? number(Math.round(10 ** value)) : number(value), x, height - MARGIN.bottom + 6);
  }
  pen.fillText(xLabel, (MARGIN.left + width - MARGIN.right) / 2, height - 17);
  pen.save();
  pen.translate(11, (MARGIN.top + height - MARGIN.bottom) / 2);
  pen.rotate(-Math.PI / 2);
  pen.textBaseline = "middle";
  pen.fillText(yLabel, 0, 0);
  pen.restore();
}

function empty(pen, width, height, colour) {
  pen.fillStyle = colour;
  pen.textAlign = "center";
  pen.fillText("no complete trial yet", width / 2, height / 2);
}

function mark(pen, shape, x, y, r) {
  pen.beginPath();
  if (shape === "square") pen.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
  else if (shape === "triangle") { pen.moveTo(x, y - r * 1.2); pen.lineTo(x + r * 1.1, y + r * 0.8); pen.lineTo(x - r * 1.1, y + r * 0.8); }
  else if (shape === "diamond") { pen.moveTo(x, y - r * 1.3); pen.lineTo(x + r, y); pen.lineTo(x, y + r * 1.3); pen.lineTo(x - r, y); }
  else pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.fill();
}

function ring(pen, [x, y], colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x, y, RADIUS + 4, 0, 2 * Math.PI);
  pen.stroke();
}
