import { h, table } from "./dom.js";
import { counted, duration, fixed, rate, whole } from "./format.js";

const STATES = ["complete", "running", "pruned", "failed", "interrupted"];
export const NOT_RUNNING = "not running: start its script again";

export function tiles(progress, savings) {
  // The objective selects the best trial; the tile shows that trial's test metric, if there is one.
  const best = progress.best.reduce((top, item) => (!top || isBetter(item, top) ? item : top), null);
  const done = progress.planned ? `${Math.floor((100 * progress.complete) / progress.planned)} %` : "–";
  const range = progress.eta_low_s && progress.eta_high_s
    ? `${duration(progress.eta_low_s)} to ${duration(progress.eta_high_s)}`
    : progress.state === "finished" ? "finished" : !progress.alive ? NOT_RUNNING : progress.eta_s === null ? "no estimate yet" : "at the current pace";
  const left = progress.remaining ? `; ${counted(progress.remaining, "trial")}, ${counted(progress.remaining_fits, "fit")} remaining` : "";
  const reported = best?.reported_label ? ["reported", best.reported_label] : ["score", best?.label ?? ""];
  return [
    tile("Complete", [whole(progress.complete), h("span", { class: "of" }, ` / ${whole(progress.planned)}`)], done),
    tile("Pace", rate(progress.per_minute), `${whole(progress.running)} running; fits: ${rate(progress.fits_per_minute)}`),
    tile("Time left", duration(progress.eta_s), range + left),
    tile("Best", fixed(best?.[reported[0]], best?.digits), best ? `${reported[1]}, ${best.cell}` : "no results yet"),
    tile("Reuse", shareOf(savings, "field-steps"), "of fitting steps saved"),
    tile("Failed", whole(progress.failed), `${whole(progress.pruned)} pruned, ${whole(progress.interrupted)} interrupted`),
  ];
}

function isBetter(item, top) {
  if (item.score === null || item.objective !== top.objective) return false;
  return top.score === null || (item.direction === "maximize" ? item.score > top.score : item.score < top.score);
}

// Returns the share in the named row of the savings table, as text.
function shareOf(savings, rowName) {
  if (!savings) return "–";
  const column = savings.columns.findIndex(({ name }) => name === "share");
  const share = savings.rows.find(([name]) => name === rowName)?.[column];
  return share === null || share === undefined ? "–" : `${Math.floor(100 * share)} %`;
}

const tile = (name, value, note) =>
  h("div", { class: "tile" }, h("dl", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, note))));

export function phases(progress, onPick) {
  if (!progress.phases.length) return [h("p", { class: "none" }, "No trials planned yet.")];
  return progress.phases.flatMap((phase) => {
    const tested = phase.cells.some(({ best }) => best?.reported_label); // a search without test signals has no test metric
    return [h("h3", {}, `${phase.phase}: ${whole(phase.complete)} of ${counted(phase.planned, "trial")}`
      + (phase.eta_s ? `, about ${duration(phase.eta_s)} left` : "")),
    table(`Progress of ${phase.phase} by cell`,
      ["Cell", "Progress", "Complete", "Running", "Failed", "Fits left", `Best ${metricOf(phase, "label", "objective")}`,
        ...(tested ? [`Its ${metricOf(phase, "reported_label", "test metric")}`] : [])],
      phase.cells.map((cell) => cellRow(cell, onPick, tested)), ["Progress"])];
  });
}

// Returns the metric of the cells' best trials; `otherwise` if there is none, or if cells differ.
function metricOf({ cells }, name, otherwise) {
  const labels = new Set(cells.map(({ best }) => best?.[name]).filter(Boolean));
  return labels.size === 1 ? [...labels][0] : otherwise;
}

function cellRow(cell, onPick, tested) {
  const { best } = cell;
  const score = best && fixed(best.score, best.digits);
  return h("tr", {},
    h("th", { scope: "row" }, cell.cell),
    h("td", { class: "wide" }, bar(cell)),
    h("td", {}, `${whole(cell.complete)} / ${whole(cell.planned)}`),
    h("td", {}, whole(cell.running)),
    h("td", { class: cell.failed ? "failed" : null }, whole(cell.failed)),
    h("td", {}, whole(cell.remaining_fits)),
    h("td", {}, best ? h("button", { type: "button", title: best.label, onclick: () => onPick(best), "aria-label": `${best.label} ${score}: show trial ${best.key}` }, score) : "–"),
    tested ? h("td", {}, fixed(best?.reported, best?.digits)) : null);
}

function bar(counts) {
  const total = Math.max(counts.planned, STATES.reduce((sum, state) => sum + counts[state], 0), 1);
  const summary = STATES.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`).join(", ");
  const parts = STATES.map((state) => {
    const part = h("span", { class: state });
    part.style.width = `${(100 * counts[state]) / total}%`;
    return part;
  });
  return h("div", { class: "bar", role: "img", title: summary, "aria-label": `${summary || "0 complete"}, of ${counts.planned} planned` }, parts);
}
