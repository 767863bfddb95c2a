import { Plot, chart, picture, words } from "./charts.js";
import { byId, h, table } from "./dom.js";
import { accuracy, compact, duration, number, percent, quality, rate, whole } from "./format.js";

const STATES = ["complete", "running", "pruned", "failed", "interrupted"];
const PHASES = { phase1: "Phase 1 · search", phase2: "Phase 2 · grid" };
export const phaseName = (phase) => PHASES[phase] ?? phase;

export function tiles(progress, savings) {
  // Validation picks, test reports: the trial is the one of highest validation accuracy.
  const best = progress.best.reduce((top, item) => (!top || (item.val_accuracy ?? 0) > (top.val_accuracy ?? 0) ? item : top), null);
  const done = progress.planned ? `${Math.floor((100 * progress.complete) / progress.planned)} %` : "–";
  const band = progress.eta_low_s && progress.eta_high_s
    ? `${duration(progress.eta_low_s)} to ${duration(progress.eta_high_s)}`
    : progress.state === "finished" ? "finished" : progress.alive ? "at this pace" : "no driver at work";
  return [
    tile("Complete", [whole(progress.complete), h("span", { class: "of" }, ` / ${whole(progress.planned)}`)], done),
    tile("Pace", rate(progress.per_minute), `${whole(progress.running)} running`),
    tile("Time left", duration(progress.eta_s), band),
    tile("Best, on test", accuracy(best?.test_accuracy), best ? `${best.cell}, ${best.start} start` : "chosen by validation"),
    tile("Saved", savings?.field_steps_asked ? `${Math.floor(100 * (1 - savings.field_steps_done / savings.field_steps_asked))} %` : "–",
      savings ? `of the fitting, by reuse; ${whole(savings.reused)} trials copied` : "of the fitting, by reuse"),
    tile("Failed", whole(progress.failed), `${whole(progress.pruned)} pruned, ${whole(progress.interrupted)} interrupted`),
  ];
}

const tile = (name, value, note) =>
  h("div", { class: "tile" }, h("dl", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, note))));

export function phases(progress, onTrial) {
  if (!progress.phases.length) return [h("p", { class: "none" }, "Nothing is planned yet.")];
  return progress.phases.flatMap((phase) => [
    h("h3", {}, `${phaseName(phase.phase)} – ${whole(phase.complete)} of ${whole(phase.planned)}`
      + (phase.eta_s ? `, ${duration(phase.eta_s)} left` : "")),
    table(`Progress of ${phaseName(phase.phase)} by cell`,
      ["Cell", "Progress", "Done", "Running", "Failed", "Best val", "Its test"],
      phase.cells.map((cell) => cellRow(cell, onTrial)), ["Progress"]),
  ]);
}

function cellRow(cell, onTrial) {
  return h("tr", {},
    h("th", { scope: "row" }, cell.cell),
    h("td", { class: "wide" }, bar(cell)),
    h("td", {}, `${whole(cell.complete)} / ${whole(cell.planned)}`),
    h("td", {}, whole(cell.running)),
    h("td", { class: cell.failed ? "failed" : null }, whole(cell.failed)),
    h("td", {}, cell.best ? trialButton(accuracy(cell.best.val_accuracy), cell.best, onTrial) : "–"),
    h("td", {}, accuracy(cell.best?.test_accuracy)));
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

const trialButton = (text, trial, onTrial) =>
  h("button", { type: "button", onclick: () => onTrial(trial), "aria-label": `${text}: show trial ${trial.key}` }, text);

export function starts(found) {
  if (!found.rows.length) return [h("p", { class: "none" }, "No complete trial yet.")];
  const over = found.of ? `${phaseName(found.of).split(" ·")[0]}, mean` : "Mean";
  const cell = (row) => (row ? [row.mean.toFixed(3), h("span", { class: "sd" }, row.sd === null ? "" : ` ± ${row.sd.toFixed(3)}`)] : ["–"]);
  return [
    table("Mean test accuracy by cell and start", ["Cell", "Random", "Shared", "Gain"],
      found.rows.map((row) => h("tr", {},
        h("th", { scope: "row" }, row.cell),
        h("td", {}, cell(row.random)), h("td", {}, cell(row.shared)), h("td", {}, percent(row.gain_percent))))),
    h("p", { class: "lead" }, `${over} ± standard deviation over ${whole(found.trials)} trials.`),
  ];
}

export function best(found, onTrial) {
  if (!found.length) return [h("p", { class: "none" }, "No complete trial yet.")];
  return [table("Best trials by validation accuracy",
    ["Trial", "Cell", "Val", "Test", "Quality", "Phase", "Start", "Hidden", "Steps"],
    found.map((trial) => h("tr", {},
      h("td", {}, trialButton(trial.key.slice(0, 8), trial, onTrial)), h("td", {}, trial.cell),
      h("td", {}, accuracy(trial.val_accuracy)), h("td", {}, accuracy(trial.test_accuracy)), h("td", {}, quality(trial.quality, trial.measure)),
      h("td", {}, phaseName(trial.phase).split(" ·")[0]), h("td", {}, trial.start), h("td", {}, number(trial.hidden)),
      h("td", {}, whole(trial.steps)))),
    ["Cell", "Phase", "Start"])];
}

const REPLICATES = 24;
const LEAST = 20; // trials from which the service tells importance

// Means over seeds, best first within each cell; the REST answer has all of them.
export function replicates(rows, onTrial) {
  const mean = (found) => [found.mean.toFixed(3), h("span", { class: "sd" }, ` ± ${(found.high - found.mean).toFixed(3)}`)];
  return [table("Settings that ran with several seeds",
    ["Setting", "Cell", "n", "Val", "Test", "Phase", "Start", "Hidden", "Steps"],
    rows.slice(0, REPLICATES).map((row) => h("tr", {},
      h("td", {}, trialButton(row.key.slice(0, 8), row, onTrial)),
      h("td", {}, row.cell), h("td", {}, whole(row.val_accuracy.n)),
      h("td", {}, mean(row.val_accuracy)), h("td", {}, mean(row.test_accuracy)),
      h("td", {}, phaseName(row.phase).split(" ·")[0]), h("td", {}, row.start), h("td", {}, number(row.hidden)), h("td", {}, whole(row.steps)))),
    ["Cell", "Phase", "Start"])];
}

export function failures({ failures: found, stopped_cells: stopped }, onTrial) {
  const left = stopped.map(({ phase, cell, reason }) =>
    h("p", { class: "failed" }, `${cell} of ${phaseName(phase)} is left alone until the study is run again: ${reason}`));
  if (!found.length) return left;
  return [...left, table("Failed trials by cause", ["Cause", "Trials", "Tried again", "Latest", "Said"],
    found.map((row) => h("tr", {},
      h("th", { scope: "row" }, row.cause), h("td", {}, whole(row.count)), h("td", {}, whole(row.retried)),
      h("td", {}, row.latest ? trialButton(row.latest.key.slice(0, 8), row.latest, onTrial) : "–"),
      h("td", {}, row.latest?.error ?? "–"))), ["Said"])];
}

// The parameters' shares as bars, most important first.
export function importance(frame, found) {
  const shown = found.parameters.slice(0, 8).filter(({ share }) => share >= 0.005);
  if (!shown.length) return words(frame, found.trials < LEAST ? `Known from ${LEAST} complete trials on.` : "No parameter stands out.");
  const percents = ({ share }) => `${(100 * share).toFixed(0)} %`;
  return picture(frame, `Importance: ${shown.map((row) => `${row.name} ${percents(row)}`).join(", ")}.`, (width) => chart({
    width, height: 26 + 25 * shown.length, marginLeft: 120, marginRight: 44, marginTop: 4, marginBottom: 4,
    x: { axis: null }, y: { label: null, tickSize: 0 },
    marks: [Plot.barX(shown, { x: "share", y: "name", sort: { y: "-x" }, fill: "var(--accent)", rx: 3 }),
      Plot.text(shown, { x: "share", y: "name", text: percents, textAnchor: "start", dx: 6 })],
  }));
}

// Field-steps that the trials name beside those that were really done.
export function savings(frame, { field_steps_asked: asked, field_steps_done: done, reused }) {
  if (!asked) return words(frame, "Known from the first complete trial on.");
  const rows = [{ what: "asked for", steps: asked }, { what: "fitted", steps: done }];
  const amounts = ({ steps }) => compact(steps);
  const known = reused ? `, and ${whole(reused)} trials were known already` : "";
  const spared = Math.floor(100 * (1 - done / asked));
  const said = spared > 0 ? `${spared} % of the field-steps were spared: one fit serves every step count on its way${known}.`
    : "Nothing could be spared so far: each trial fitted fields of its own.";
  byId("savings-lead").textContent = said;
  return picture(frame, `${compact(asked)} field-steps asked for, ${compact(done)} fitted. ${said}`, (width) => chart({
    width, height: 84, marginLeft: 70, marginRight: 60, marginTop: 4, marginBottom: 4, x: { axis: null }, y: { label: null, tickSize: 0, domain: ["asked for", "fitted"] },
    marks: [Plot.barX(rows, { x: "steps", y: "what", fill: (row) => (row.what === "fitted" ? "var(--complete)" : "var(--soft)"), rx: 3 }),
      Plot.text(rows, { x: "steps", y: "what", text: amounts, textAnchor: "start", dx: 6 })],
  }));
}
