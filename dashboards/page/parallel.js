import { get, studyPath } from "./api.js";
import { Plot, chart, d3, fitted } from "./charts.js";
import { byId } from "./dom.js";
import { accuracy, number, whole } from "./format.js";
import { pickable } from "./picking.js";

const MOST = 300;
const AXES = 7;
const LEAST_GAP = 0.12; // between ticks, of an axis' length
const LEAST_SHARE = 0.005;
const TOP = 0.1; // as the importance counts them
const WIDE_RANGE = 30; // a positive range of this ratio is drawn by logarithm
const NARROW = 700; // below, the axes lie on their sides
const TICKS = { fontSize: 11, stroke: "var(--card)", strokeWidth: 4, fill: "currentColor" };
let seen = null;

// Parallel coordinates: an axis for each parameter that matters, a line for each trial, the best tenth in front.
export function parallel({ onPick }) {
  const frame = byId("parallel");
  const draw = fitted(frame);
  const pick = pickable(frame, { onPick });
  return async (study, chosen, parameters) => {
    const names = parameters.filter(({ share }) => share >= LEAST_SHARE).slice(0, AXES).map(({ name }) => name);
    byId("parallel-part").hidden = !names.length;
    if (!names.length) return;
    const query = new URLSearchParams({ x: "val_accuracy", y: "test_accuracy", limit: MOST, also: names.join(), ...chosen });
    const found = await get(`${studyPath(study)}/points?${query}`);
    if (found === seen) return;
    seen = found;
    const trials = trialsOf(found, names);
    const axes = [...names, "val_accuracy"].map((name) => axisOf(name, trials));
    byId("parallel-caption").textContent = `${whole(trials.length)} of ${whole(found.of)} trials, spread evenly over accuracy; `
      + `the best tenth by validation accuracy in colour. Axes by importance, logarithmic where a range is wide.`;
    const rows = rowsOf(trials, axes);
    draw((width) => {
      const { svg, place } = drawn(rows, axes, width);
      const order = rows.filter(({ name }) => name === "val_accuracy");
      pick(svg, { order, place, label: `Parameters of ${trials.length} trials as parallel coordinates, best first.` });
      return svg;
    });
  };
}

function trialsOf(found, names) {
  const trials = found.key.map((key, i) => {
    const values = { ...Object.fromEntries(names.map((name) => [name, found.also[name][i]])), val_accuracy: found.x[i] };
    const said = names.filter((name) => values[name] !== null).map((name) => `${name} ${shown(values[name])}`);
    return { key, phase: found.phase[i], values,
      text: [found.cell[i], ...said, `validation ${accuracy(found.x[i])}`, `test ${accuracy(found.y[i])}`].join("\n") };
  });
  const ranked = d3.sort(trials, (trial) => -trial.values.val_accuracy);
  return ranked.map((trial, rank) => ({ ...trial, best: rank < Math.max(2, TOP * ranked.length) }));
}

const shown = (value) => (typeof value === "number" ? number(value) : String(value));

// A name's places on [0, 1]: words side by side, numbers to scale.
function axisOf(name, trials) {
  const values = trials.map((trial) => trial.values[name]).filter((value) => value !== null);
  if (values.some((value) => typeof value !== "number")) {
    const scale = d3.scalePoint(d3.sort(new Set(values.map(String))), [0, 1]).padding(0.3);
    return { name, at: (value) => scale(String(value)), ticks: scale.domain() };
  }
  const [low, high] = d3.extent(values);
  const log = low > 0 && high / low > WIDE_RANGE;
  const scale = (log ? d3.scaleLog() : d3.scaleLinear()).domain(low === high ? [low - 1, high + 1] : [low, high]);
  const few = name === "val_accuracy" ? [] : d3.sort(new Set(values));
  return { name, at: scale, ticks: apart(few.length && few.length <= 12 ? few : log ? d3.range(0, 1.01, 0.25).map((place) => Number(scale.invert(place).toPrecision(2))) : scale.ticks(4), scale) };
}

// Those of the values whose words do not run into each other.
function apart(values, scale) {
  const kept = [];
  for (const value of values) if (!kept.length || scale(value) - scale(kept.at(-1)) >= LEAST_GAP) kept.push(value);
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
      Plot.text(axes, { ...TICKS, ...title, [across]: "name", text: "name", fontSize: 12, fontWeight: 600 }),
      Plot.text(ticks, { ...TICKS, ...path, text: "value", ...(upright ? { textAnchor: "start", dx: 5 } : { dy: 11 }) }),
      Plot.tip(rows, Plot.pointer({ ...path, title: "text", maxRadius: 25, fill: "var(--card)", stroke: "var(--soft)", fontSize: 12 })),
    ],
  });
  const [x, y] = ["x", "y"].map((name) => svg.scale(name).apply);
  const place = upright ? ({ name, at }) => [x(name), y(at)] : ({ name, at }) => [x(at), y(name)];
  if (rows.length) follow(svg, rows, place);
  return { svg, place };
}

// The whole line of the trial that is pointed at.
function follow(svg, rows, place) {
  const line = svg.insertBefore(document.createElementNS(svg.namespaceURI, "path"), svg.lastElementChild);
  line.setAttribute("class", "chosen");
  svg.addEventListener("input", () => {
    line.setAttribute("d", d3.line()(rows.filter(({ key }) => key === svg.value?.key).map(place)) ?? "");
  });
}
