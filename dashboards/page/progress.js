import { h, table } from "./dom.js";
import { duration, fixed, rate, whole } from "./format.js";

const STATES = ["complete", "running", "pruned", "failed", "interrupted"];

export function tiles(progress, savings) {
  // The objective picks, its test counterpart is reported: the trial is the one of the best score.
  const best = progress.best.reduce((top, item) => (!top || isBetter(item, top) ? item : top), null);
  const done = progress.planned ? `${Math.floor((100 * progress.complete) / progress.planned)} %` : "–";
  const band = progress.eta_low_s && progress.eta_high_s
    ? `${duration(progress.eta_low_s)} to ${duration(progress.eta_high_s)}`
    : progress.state === "finished" ? "finished" : progress.alive ? "at this pace" : "no driver";
  const left = progress.remaining ? `; ${whole(progress.remaining)} trials and ${whole(progress.remaining_fits)} fits left` : "";
  const reported = best?.reported_label ? ["reported", best.reported_label] : ["score", best?.label ?? ""];
  return [
    tile("Complete", [whole(progress.complete), h("span", { class: "of" }, ` / ${whole(progress.planned)}`)], done),
    tile("Pace", rate(progress.per_minute), `${whole(progress.running)} running, ${rate(progress.fits_per_minute)} fits`),
    tile("Time left", duration(progress.eta_s), band + left),
    tile("Best", fixed(best?.[reported[0]], best?.digits), best ? `${reported[1]}, ${best.cell}` : "no result yet"),
    tile("Saved", shareOf(savings, "field-steps"), "of the fitting, by reuse"),
    tile("Failed", whole(progress.failed), `${whole(progress.pruned)} pruned, ${whole(progress.interrupted)} interrupted`),
  ];
}

function isBetter(item, top) {
  if (item.score === null || item.objective !== top.objective) return false;
  return top.score === null || (item.direction === "maximize" ? item.score > top.score : item.score < top.score);
}

// A share of the table of savings, by the name of its row.
function shareOf(savings, what) {
  if (!savings) return "–";
  const at = savings.columns.findIndex(({ name }) => name === "share");
  const share = savings.rows.find(([name]) => name === what)?.[at];
  return share === null || share === undefined ? "–" : `${Math.floor(100 * share)} %`;
}

const tile = (name, value, note) =>
  h("div", { class: "tile" }, h("dl", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, note))));

export function phases(progress, onPick) {
  if (!progress.phases.length) return [h("p", { class: "none" }, "Nothing is planned yet.")];
  return progress.phases.flatMap((phase) => [
    h("h3", {}, `${phase.phase} – ${whole(phase.complete)} of ${whole(phase.planned)}`
      + (phase.eta_s ? `, ${duration(phase.eta_s)} left` : "")),
    table(`Progress of ${phase.phase} by cell`,
      ["Cell", "Progress", "Done", "Running", "Failed", "Fits left", "Best", "Its test"],
      phase.cells.map((cell) => cellRow(cell, onPick)), ["Progress"]),
  ]);
}

function cellRow(cell, onPick) {
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
    h("td", {}, fixed(best?.reported, best?.digits)));
}

function bar(counts) {
  const total = Math.max(counts.planned, STATES.reduce((sum, state) => sum + counts[state], 0), 1);
  const said = STATES.filter((state) => counts[state]).map((state) => `${counts[state]} ${state}`).join(", ");
  const parts = STATES.map((state) => {
    const part = h("span", { class: state });
    part.style.width = `${(100 * counts[state]) / total}%`;
    return part;
  });
  return h("div", { class: "bar", role: "img", title: said, "aria-label": `${said || "none"} of ${counts.planned}` }, parts);
}
