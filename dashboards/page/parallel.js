import { Plot, chart, d3, responsive } from "./charts.js";
import { counted, number } from "./format.js";
import { pickable } from "./picking.js";

const MIN_GAP = 0.12; // between ticks, as a fraction of the axis length
const LOG_RATIO = 30; // a positive range with a larger ratio gets a logarithmic axis
const NARROW = 700; // below this width the axes are horizontal
const TICKS = { fontSize: 11, stroke: "var(--card)", strokeWidth: 4, fill: "currentColor" };

// Returns a function that draws parallel coordinates: an axis per numeric column and a line per trial, with the best tenth in front.
export function parallel(frame, { onPick }) {
  const draw = responsive(frame);
  const pick = pickable(frame, { onPick });
  return (data) => {
    const trials = trialsOf(data);
    const last = data.columns.findLast(({ kind, detail }) => kind === "number" && !detail).name;
    const axes = data.columns.filter(({ kind, detail }) => kind === "number" && !detail).map((column) => axisOf(column, trials, last));
    const rows = rowsOf(trials, axes);
    draw((width) => {
      const { svg, place } = drawn(rows, axes, width);
      const order = rows.filter(({ name }) => name === last);
      pick(svg, { order, place, label: `Parameters of ${counted(trials.length, "trial")} as parallel coordinates, best first.` });
      return svg;
    });
  };
}

function trialsOf({ columns, rows }) {
  const named = rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])));
  return named.map((values) => {
    const lines = columns.filter(({ name, kind }) => kind === "number" && values[name] !== null).map(({ name, label }) => `${label} ${shown(values[name])}`);
    return { ...values.key, values, best: Boolean(values.best), text: [values.cell, ...lines].join("\n") };
  });
}

const shown = (value) => (typeof value === "number" ? number(value) : String(value));

// Returns the axis of a column, which maps values to [0, 1]: words are evenly spaced, and numbers are to scale.
function axisOf({ name, label }, trials, last) {
  const values = trials.map((trial) => trial.values[name]).filter((value) => value !== null);
  if (values.some((value) => typeof value !== "number")) {
    const scale = d3.scalePoint(d3.sort(new Set(values.map(String))), [0, 1]).padding(0.3);
    return { name, label, at: (value) => scale(String(value)), ticks: scale.domain() };
  }
  const [low, high] = d3.extent(values);
  const log = low > 0 && high / low > LOG_RATIO;
  const scale = (log ? d3.scaleLog() : d3.scaleLinear()).domain(low === high ? [low - 1, high + 1] : [low, high]);
  const few = name === last ? [] : d3.sort(new Set(values));
  return { name, label, at: scale, ticks: spaced(few.length && few.length <= 12 ? few : log ? d3.range(0, 1.01, 0.25).map((place) => Number(scale.invert(place).toPrecision(2))) : scale.ticks(4), scale) };
}

// Returns the values whose tick labels do not overlap.
function spaced(values, scale) {
  const kept = [];
  for (const value of values) if (!kept.length || scale(value) - scale(kept.at(-1)) >= MIN_GAP) kept.push(value);
  return kept;
}

const rowsOf = (trials, axes) => trials.flatMap(({ values, ...trial }) => axes.filter(({ name }) => values[name] !== null)
  .map(({ name, at }) => ({ ...trial, name, at: at(values[name]) })));

function drawn(rows, axes, width) {
  const upright = width >= NARROW;
  const [along, across] = upright ? ["y", "x"] : ["x", "y"];
  const names = axes.map(({ name }) => name);
  const ticks = axes.flatMap(({ name, at, ticks: values }) => values.map((value) => ({ name, at: at(value), value: shown(value) })));
  const path = { [along]: "at", [across]: "name" };
  const line = { ...path, z: "key", strokeWidth: 1 };
  const title = upright ? { frameAnchor: "top", dy: -22 } : { frameAnchor: "left", textAnchor: "start", dy: -14, dx: -12 };
  const svg = chart({
    width, height: upright ? 380 : 30 + 60 * axes.length,
    marginLeft: upright ? 0 : 20, marginRight: upright ? 0 : 20, marginTop: upright ? 34 : 24, marginBottom: 16,
    [along]: { axis: null, domain: [0, 1] }, [across]: { axis: null, type: "point", domain: names, padding: 0.4 },
    marks: [
      Plot.line(rows.filter(({ best }) => !best), { ...line, stroke: "var(--soft)", strokeOpacity: 0.25 }),
      Plot.line(rows.filter(({ best }) => best), { ...line, stroke: "var(--accent)", strokeOpacity: 0.75 }),
      (upright ? Plot.ruleX : Plot.ruleY)(names, { stroke: "currentColor", strokeOpacity: 0.5 }),
      Plot.text(axes, { ...TICKS, ...title, [across]: "name", text: "label", fontSize: 12, fontWeight: 600 }),
      Plot.text(ticks, { ...TICKS, ...path, text: "value", ...(upright ? { textAnchor: "start", dx: 5 } : { dy: 11 }) }),
      Plot.tip(rows, Plot.pointer({ ...path, title: "text", maxRadius: 25, fill: "var(--card)", stroke: "var(--soft)", fontSize: 12 })),
    ],
  });
  const [x, y] = ["x", "y"].map((name) => svg.scale(name).apply);
  const place = upright ? ({ name, at }) => [x(name), y(at)] : ({ name, at }) => [x(at), y(name)];
  if (rows.length) highlight(svg, rows, place);
  return { svg, place };
}

// Highlights the whole line of the trial under the pointer.
function highlight(svg, rows, place) {
  const line = svg.insertBefore(document.createElementNS(svg.namespaceURI, "path"), svg.lastElementChild);
  line.setAttribute("class", "chosen");
  svg.addEventListener("input", () => {
    line.setAttribute("d", d3.line()(rows.filter(({ key }) => key === svg.value?.key).map(place)) ?? "");
  });
}
