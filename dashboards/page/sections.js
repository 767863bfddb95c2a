import { get, studyPath } from "./api.js";
import { byId, h } from "./dom.js";
import { drawFigure } from "./figures.js";
import { drawGallery } from "./gallery.js";
import { parallel } from "./parallel.js";
import { drawShares, drawTable } from "./tables.js";

// The parts of the page below the progress, in order; those of one list stand next to each other. To add a part, add an
// entry: `path` is what is drawn, `query` asks for more, `chosen` passes the phase and cell that are chosen, `slow` is not
// waited for, `hides` shows nothing where there is nothing to show, `sections` are names of which a task declares one.
export const SECTIONS = [
  [{ id: "pace", path: "figures/pace", hides: true }, { id: "climb", path: "figures/best-over-time", hides: true }],
  [{ id: "quality", path: "figures/ladders", sections: ["ladders", "scatter"], query: { limit: 8000 }, chosen: true, across: true, plot: true }],
  [{ id: "nmi", path: "figures/scatter", sections: ["scatter"], query: { x: "all_nmi", limit: 3000 }, chosen: true, plot: true, hides: true },
    { id: "ratio", path: "figures/scatter", sections: ["scatter"], query: { x: "all_off_grid_ratio", limit: 3000 }, chosen: true, plot: true, hides: true }],
  [{ id: "starts", path: "tables/initialization", sections: ["initialization"], slow: true }, { id: "importance", path: "tables/importance", sections: ["importance"], chosen: true, slow: true, draw: shares }],
  [{ id: "best", path: "tables/best", query: { limit: 3 }, chosen: true, most: 36 }],
  [{ id: "savings", path: "tables/savings" }],
  [{ id: "replicates", path: "tables/replicates", query: { limit: 24 }, slow: true, hides: true, most: 24 }],
  [{ id: "classifiers", path: "tables/classifiers", sections: ["classifiers"], slow: true, hides: true }],
  [{ id: "parallel", path: "tables/parallel", sections: ["parallel"], chosen: true, slow: true, hides: true, plot: true, draw: parallels }],
  [{ id: "gallery", path: "reconstructions", chosen: true, slow: true, hides: true, draw: drawGallery }],
  [{ id: "failures", path: "tables/failures", hides: true }, { id: "stopped", path: "tables/stopped", hides: true }],
];
export const ENTRIES = SECTIONS.flat();

const drawn = new Map();
const asked = new Map(); // the latest question of each part: an answer to an older one comes too late
const parallelDrawers = new WeakMap();

// Makes the empty parts, once.
export function makeSections(into) {
  into.replaceChildren(...SECTIONS.map((entries) => {
    const parts = entries.map(partOf);
    return parts.length > 1 ? h("div", { class: "columns" }, parts) : parts[0];
  }));
}

function partOf({ id, plot, hides }) {
  return h("section", { id: `${id}-part`, "aria-labelledby": `${id}-title`, hidden: hides },
    h("h2", { id: `${id}-title` }), h("div", { id: frameOf({ id, plot }), class: plot ? "plot" : null }),
    h("div", { id: `${id}-caption`, class: "caption" }));
}

const frameOf = ({ id, plot }) => (plot && id !== "parallel" ? `${id}-plot` : id);

// The parts that apply to a study: all of them where its plan names no section. The others are hidden.
export function applying({ cells = [] }) {
  const named = new Set(cells.flatMap(({ sections = [] }) => sections));
  const applies = ({ sections }) => !sections || !named.size || sections.some((name) => named.has(name));
  for (const { id, sections } of ENTRIES) if (!applies({ sections })) byId(`${id}-part`).hidden = true;
  return ENTRIES.filter(applies);
}

export function forget() {
  drawn.clear();
}

// Asks for one part and draws it, unless it is drawn already.
export async function drawPart(entry, study, { chosen, across, onPick }) {
  const { id, path, query, hides } = entry;
  const parameters = { ...query, ...(entry.chosen && chosen), ...(entry.across && across && { x: across }) };
  const address = `${studyPath(study)}/${path}?${new URLSearchParams(parameters)}`;
  asked.set(id, address);
  const found = await get(address);
  if (asked.get(id) !== address || drawn.get(id) === found) return;
  const empty = !(found.rows?.length ?? found.pictures?.length ?? found.of);
  byId(`${id}-part`).hidden = Boolean(hides && empty);
  byId(`${id}-title`).textContent = found.title;
  drawn.set(id, found);
  if (hides && empty) return;
  const [frame, caption] = [byId(frameOf(entry)), byId(`${id}-caption`)];
  if (!found.marks) caption.replaceChildren(empty ? "" : found.caption);
  (entry.draw ?? (found.marks ? drawFigure : drawTable))(frame, found, { caption, onPick, most: entry.most });
}

function shares(frame, found) {
  drawShares(frame, found);
}

function parallels(frame, found, picks) {
  if (!parallelDrawers.has(frame)) parallelDrawers.set(frame, parallel(frame, picks));
  parallelDrawers.get(frame)(found);
}
