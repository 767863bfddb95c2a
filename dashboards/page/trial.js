import { get } from "./api.js";
import { Plot, chart, d3, picture } from "./charts.js";
import { h, table } from "./dom.js";
import { titleOf as titleOfAxis } from "./figures.js";
import { NONE, fixed, number, whole } from "./format.js";

const MAX_TILES = 8;

let requested = null; // path of the latest requested trial; late responses for other trials are dropped

// Opens the dialog with one trial: its metrics, pictures, curves and parameters.
export async function showTrial(dialog, { key, study, phase }) {
  const query = new URLSearchParams({ ...(study && { study }), ...(phase && { phase }) });
  const path = `v1/trials/${encodeURIComponent(key)}?${query}`;
  requested = path;
  const trial = await get(path);
  if (requested !== path) return;
  dialog.replaceChildren(h("article", {},
    h("div", { class: "heading" },
      h("h2", { id: "trial-title" }, titleOf(trial)),
      h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
    h("p", { class: "lead" }, `${trial.phase} · ${trial.state.toLowerCase()}${trial.reused ? ", reused" : ""} · `,
      h("span", { class: "mono" }, trial.key)),
    trial.error ? h("p", { class: "failed" }, `${trial.cause}: ${trial.error}`) : null,
    trial.log.length ? h("details", {}, h("summary", {}, "Last lines of the log"), h("pre", {}, trial.log.join("\n"))) : null,
    numbers(trial), pictures(trial),
    h("div", { class: "pair" }, curves(trial)),
    h("details", {}, h("summary", {}, "Parameters"), pairs(trial.parameters)),
    h("details", {}, h("summary", {}, "All metrics"), metricsOf(trial)),
    h("details", {}, h("summary", {}, "Software and hardware"), pairs(trial.fingerprint))));
  if (!dialog.open) dialog.showModal();
}

function titleOf({ cell, parameters, ...trial }) {
  const { init, steps } = { ...trial, ...parameters };
  return [cell, init, steps && `${whole(steps)} steps`].filter(Boolean).join(", ");
}

// Shows a trial's metrics on validation and test signals, and over all signals.
function numbers(trial) {
  const names = Object.keys(trial.metrics).sort();
  const shown = [["test", "val"], ["all"]].flatMap((splits) =>
    names.filter((name) => splits.includes(trial.labels[name].split) && !name.endsWith("loss"))).slice(0, MAX_TILES);
  return h("div", { class: "tiles" }, shown.map((name) => {
    const { label, unit, digits } = trial.labels[name];
    return h("div", { class: "tile" }, h("dl", {}, h("dt", {}, capital(label)), h("dd", {}, withUnit(fixed(trial.metrics[name], digits), unit))));
  }));
}

function pictures(trial) {
  return trial.artifacts.filter((name) => name.endsWith(".png")).map((name) => h("p", {},
    h("img", { src: `v1/trials/${trial.key}/artifacts/${encodeURIComponent(name)}`, loading: "lazy",
      alt: name === "reconstruction.png" ? "Originals in the top row, reconstructions below" : name })));
}

// Shows all metrics with their labels and units, and their names for filters and REST.
function metricsOf({ metrics, labels }) {
  const rows = Object.entries(metrics).sort().map(([name, value]) => h("tr", {},
    h("th", { scope: "row" }, capital(labels[name].label)), h("td", { class: "mono" }, name),
    h("td", { class: "mono" }, withUnit(number(value), labels[name].unit))));
  return table("Metrics", ["Metric", "Name", "Value"], rows, ["Name"]);
}

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
const withUnit = (text, unit) => (unit && text !== NONE ? `${text} ${unit}` : text);

const pairs = (values) => table("Values", ["Name", "Value"], Object.entries(values).sort().map(([name, value]) =>
  h("tr", {}, h("th", { scope: "row", class: "mono" }, name),
    h("td", { class: "mono" }, typeof value === "number" ? number(value) : String(value ?? "–")))));

function curves(trial) {
  return Object.entries(trial.curves).sort().map(([name, pairs]) => {
    const points = pairs.filter(([, value]) => value !== null).map(([x, y]) => ({ x, y }));
    return points.length > 1 ? curve(capital(titleOfAxis(trial.labels[name])), points) : null;
  });
}

function curve(title, points) {
  const frame = h("div", { class: "curve" });
  const label = `${title}: from ${number(points[0].y)} to ${number(points.at(-1).y)}, ${points.length} points`;
  picture(frame, label, (width) => chart({
    width, height: 140, marginLeft: 44, marginRight: 12, marginTop: 12, marginBottom: 26,
    x: { label: null, ticks: d3.ticks(points[0].x, points.at(-1).x, 4).filter(Number.isInteger), tickFormat: number }, y: { label: null, ticks: 4, grid: true, tickFormat: number },
    marks: [Plot.line(points, { x: "x", y: "y", stroke: "var(--accent)", strokeWidth: 1.8 }),
      Plot.dot(points.slice(-1), { x: "x", y: "y", r: 3, fill: "var(--accent)" })],
  }));
  return h("div", {}, h("h3", {}, title), frame);
}
