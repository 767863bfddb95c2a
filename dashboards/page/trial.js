import { get } from "./api.js";
import { Plot, chart, d3, picture } from "./charts.js";
import { h, table } from "./dom.js";
import { fixed, number, whole } from "./format.js";

const MOST_TILES = 8;

let asked = null; // the latest trial asked for: another that answers later is not shown

// Opens the dialog on one trial: its numbers, curves, picture and parameters.
export async function showTrial(dialog, { key, study, phase }) {
  const query = new URLSearchParams({ ...(study && { study }), ...(phase && { phase }) });
  const path = `v1/trials/${encodeURIComponent(key)}?${query}`;
  asked = path;
  const trial = await get(path);
  if (asked !== path) return;
  dialog.replaceChildren(h("article", {},
    h("div", { class: "heading" },
      h("h2", { id: "trial-title" }, titleOf(trial)),
      h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
    h("p", { class: "lead" }, `${trial.phase} · ${trial.state.toLowerCase()}${trial.reused ? ", reused" : ""} · `,
      h("span", { class: "mono" }, trial.key)),
    trial.error ? h("p", { class: "failed" }, `${trial.cause}: ${trial.error}`) : null,
    trial.log.length ? h("details", {}, h("summary", {}, "Last lines of its log"), h("pre", {}, trial.log.join("\n"))) : null,
    numbers(trial), pictures(trial),
    h("div", { class: "pair" }, curves(trial)),
    h("details", {}, h("summary", {}, "Parameters"), pairs(trial.parameters)),
    h("details", {}, h("summary", {}, "All metrics"), pairs(trial.metrics)),
    h("details", {}, h("summary", {}, "How it was computed"), pairs(trial.fingerprint))));
  if (!dialog.open) dialog.showModal();
}

function titleOf({ cell, parameters, ...trial }) {
  const { init, steps } = { ...trial, ...parameters };
  return [cell, init, steps && `${whole(steps)} steps`].filter(Boolean).join(", ");
}

// What a trial measured on validation and test signals, and over all of them.
function numbers(trial) {
  const names = Object.keys(trial.metrics).sort();
  const shown = [/^(test|val)_(?!.*loss)/, /^all_/].flatMap((split) => names.filter((name) => split.test(name))).slice(0, MOST_TILES);
  return h("div", { class: "tiles" }, shown.map((name) =>
    h("div", { class: "tile" }, h("dl", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, fixed(trial.metrics[name]))))));
}

function pictures(trial) {
  return trial.artifacts.filter((name) => name.endsWith(".png")).map((name) => h("p", {},
    h("img", { src: `v1/trials/${trial.key}/artifacts/${encodeURIComponent(name)}`, loading: "lazy",
      alt: name === "reconstruction.png" ? "Originals above, reconstructions below" : name })));
}

const pairs = (values) => table("Values", ["Name", "Value"], Object.entries(values).sort().map(([name, value]) =>
  h("tr", {}, h("th", { scope: "row", class: "mono" }, name),
    h("td", { class: "mono" }, typeof value === "number" ? number(value) : String(value ?? "–")))));

function curves(trial) {
  return Object.entries(trial.curves).sort().map(([name, pairs]) => {
    const points = pairs.filter(([, value]) => value !== null).map(([x, y]) => ({ x, y }));
    return points.length > 1 ? curve(name, points) : null;
  });
}

function curve(name, points) {
  const frame = h("div", { class: "curve" });
  const said = `${name}: from ${number(points[0].y)} to ${number(points.at(-1).y)} over ${points.length} points`;
  picture(frame, said, (width) => chart({
    width, height: 140, marginLeft: 44, marginRight: 12, marginTop: 12, marginBottom: 26,
    x: { label: null, ticks: d3.ticks(points[0].x, points.at(-1).x, 4).filter(Number.isInteger), tickFormat: number }, y: { label: null, ticks: 4, grid: true, tickFormat: number },
    marks: [Plot.line(points, { x: "x", y: "y", stroke: "var(--accent)", strokeWidth: 1.8 }),
      Plot.dot(points.slice(-1), { x: "x", y: "y", r: 3, fill: "var(--accent)" })],
  }));
  return h("div", {}, h("h3", {}, name), frame);
}
