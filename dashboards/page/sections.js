import { get, studyPath } from "./api.js";
import { byId, h } from "./dom.js";
import { drawFigure } from "./figures.js";
import { drawGallery } from "./gallery.js";
import { parallel } from "./parallel.js";
import { drawShares, drawTable, sharesOf } from "./tables.js";

// The parts of the page below the progress, in order; each inner list is one row. To add a part, add an entry. `path` is the
// figure or table to draw and `query` its parameters; `filtered` adds the selected phase and cell, `xAxis` the selected x axis.
// `slow` parts load in the background, `hideEmpty` hides a part without data, `plot` marks charts, and `maxRows` limits a table.
// A part with `sections` is shown only if the study's task declares one of these names.
export const SECTIONS = [
  [{ id: "pace", path: "figures/pace", hideEmpty: true }, { id: "best-over-time", path: "figures/best-over-time", hideEmpty: true }],
  [{ id: "quality", path: "figures/ladders", sections: ["ladders", "scatter"], query: { limit: 8000 }, filtered: true, xAxis: true, plot: true }],
  [{ id: "nmi", path: "figures/scatter", sections: ["scatter"], query: { x: "all_nmi", limit: 3000 }, filtered: true, plot: true, hideEmpty: true },
    { id: "ami", path: "figures/scatter", sections: ["scatter"], query: { x: "all_ami", limit: 3000 }, filtered: true, plot: true, hideEmpty: true }],
  [{ id: "ratio", path: "figures/scatter", sections: ["scatter"], query: { x: "all_off_grid_ratio_published", limit: 3000 }, filtered: true, plot: true, hideEmpty: true },
    { id: "error-ratio", path: "figures/scatter", sections: ["scatter"], query: { x: "all_off_grid_nmse_ratio", limit: 3000 }, filtered: true, plot: true, hideEmpty: true }],
  [{ id: "initialization", path: "tables/initialization", sections: ["initialization"], slow: true }, { id: "importance", path: "tables/importance", sections: ["importance"], filtered: true, slow: true, draw: shares }],
  [{ id: "best", path: "tables/best", query: { limit: 3 }, filtered: true, maxRows: 36 }],
  [{ id: "savings", path: "tables/savings" }],
  [{ id: "replicates", path: "tables/replicates", query: { limit: 24 }, slow: true, hideEmpty: true, maxRows: 24 }],
  [{ id: "classifiers", path: "tables/classifiers", sections: ["classifiers"], slow: true, hideEmpty: true }],
  [{ id: "parallel", path: "tables/parallel", sections: ["parallel"], filtered: true, slow: true, hideEmpty: true, plot: true, draw: parallels }],
  [{ id: "gallery", path: "reconstructions", filtered: true, slow: true, hideEmpty: true, draw: drawGallery }],
  [{ id: "failures", path: "tables/failures", hideEmpty: true }, { id: "stopped", path: "tables/stopped", hideEmpty: true }],
];
export const ENTRIES = SECTIONS.flat();

const drawn = new Map();
const requested = new Map(); // the latest URL requested for each part; responses to older requests are dropped
const parallelDrawers = new WeakMap();

// Creates the empty parts, once.
export function makeSections(into) {
  into.replaceChildren(...SECTIONS.map((entries) => {
    const parts = entries.map(partOf);
    return parts.length > 1 ? h("div", { class: "columns" }, parts) : parts[0];
  }));
}

function partOf({ id, plot, hideEmpty }) {
  return h("section", { id: `${id}-part`, "aria-labelledby": `${id}-title`, hidden: hideEmpty },
    h("h2", { id: `${id}-title` }), h("div", { id: frameOf({ id, plot }), class: plot ? "plot" : null }),
    h("div", { id: `${id}-caption`, class: "caption" }));
}

const frameOf = ({ id, plot }) => (plot && id !== "parallel" ? `${id}-plot` : id);

// Returns the parts that apply to a study and hides the others. All apply if the plan names no sections.
export function applicable({ cells = [] }) {
  const named = new Set(cells.flatMap(({ sections = [] }) => sections));
  const applies = ({ sections }) => !sections || !named.size || sections.some((name) => named.has(name));
  for (const { id, sections } of ENTRIES) if (!applies({ sections })) byId(`${id}-part`).hidden = true;
  return ENTRIES.filter(applies);
}

export function clearDrawn() {
  drawn.clear();
}

// Fetches one part and draws it, unless the same data is already drawn.
export async function drawPart(entry, study, { filters, xAxis, onPick }) {
  const { id, path, query, hideEmpty } = entry;
  const parameters = { ...query, ...(entry.filtered && filters), ...(entry.xAxis && xAxis && { x: xAxis }) };
  const address = `${studyPath(study)}/${path}?${new URLSearchParams(parameters)}`;
  requested.set(id, address);
  const data = await get(address);
  if (requested.get(id) !== address || drawn.get(id) === data) return;
  const empty = !(data.rows?.length ?? data.pictures?.length ?? data.of);
  byId(`${id}-part`).hidden = Boolean(hideEmpty && empty);
  byId(`${id}-title`).textContent = data.title;
  drawn.set(id, data);
  if (hideEmpty && empty) return;
  const [frame, caption] = [byId(frameOf(entry)), byId(`${id}-caption`)];
  if (!data.marks) caption.replaceChildren(empty ? "" : data.caption);
  (entry.draw ?? (data.marks ? drawFigure : drawTable))(frame, data, { caption, onPick, maxRows: entry.maxRows });
}

function shares(frame, data, { caption }) {
  drawShares(frame, data);
  if (data.rows.length) caption.append(` Shown: ${sharesOf(data)}.`);
}

function parallels(frame, data, options) {
  if (!parallelDrawers.has(frame)) parallelDrawers.set(frame, parallel(frame, options));
  parallelDrawers.get(frame)(data);
}
