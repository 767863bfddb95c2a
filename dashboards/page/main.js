import { follow, get, studyPath } from "./api.js";
import { d3 } from "./charts.js";
import { byId, fill } from "./dom.js";
import { phases, tiles } from "./progress.js";
import { ENTRIES, applying, drawPart, forget, makeSections } from "./sections.js";
import { showTrial } from "./trial.js";

const RETRY_MS = 4000;
const LIST_MS = 30_000; // after this the list of studies may have grown
const CSV_ROWS = 1000; // of one answer
const SAVINGS = "tables/savings?";
const page = { study: null, savings: null, parts: ENTRIES, picked: new Set(), stop: null, seq: -1, again: 0, shown: null, listed: 0 };
makeSections(byId("sections"));

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function openTrial(trial) {
  showTrial(byId("trial"), { key: trial.key, study: page.study, phase: trial.phase }).catch((error) => notice(error.message));
}

async function start() {
  const names = await listStudies();
  if (!names.length) {
    notice("The ledger holds no study yet. Start one with: python studies/smoke.py");
    setTimeout(begin, RETRY_MS);
    return;
  }
  notice("");
  choose(names.includes(asked()) ? asked() : names[0]);
}

const begin = () => start().catch((error) => { failed(error); setTimeout(begin, RETRY_MS); });

async function listStudies() {
  const names = (await get("v1/studies")).studies.map(({ study }) => study);
  page.listed = Date.now();
  if (names.length) fill(byId("study"), d3.sort(names).map((name) => [name, name]));
  return names;
}

// The study that the address names.
function asked() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function choose(study) {
  page.stop?.();
  Object.assign(page, { study, seq: -1, savings: null, shown: null });
  page.picked.clear();
  forget();
  byId("study").value = study;
  history.replaceState(null, "", `#${encodeURIComponent(study)}`);
  document.title = `${study} · nefstudy`;
  byId("json").href = `${studyPath(study)}/trials`;
  byId("csv").href = `${studyPath(study)}/trials?format=csv&limit=${CSV_ROWS}`;
  page.stop = follow(study, { changed: refresh, live: showLive });
  refresh();
}

function showLive(on) {
  byId("live").dataset.on = on;
  byId("live").textContent = on ? "live" : "reconnecting";
}

// One run at a time; calls while it runs cause one more run afterwards. What failed is retried: a study at rest
// sends no event that would ask for it.
function single(act) {
  const held = { busy: false, again: false, retry: null };
  return async function run() {
    held.again = held.busy;
    if (held.busy) return;
    held.busy = true;
    clearTimeout(held.retry);
    try {
      await act();
      notice("");
    } catch (error) {
      failed(error);
      held.retry = setTimeout(run, RETRY_MS);
    }
    held.busy = false;
    if (held.again) run();
  };
}

const refresh = single(async () => {
  await draw(page.study);
  if (Date.now() - page.listed >= LIST_MS) await listStudies();
});
// What takes the service seconds over a large study does not hold up the rest.
const refreshSlow = single(() => drawParts(page.study, (entry) => entry.slow));

const failed = (error) => notice(`${error.message}. The page keeps trying.`);

async function draw(study) {
  const path = studyPath(study);
  const progress = await get(`${path}/progress`);
  if (study !== page.study) return;
  const orphaned = !progress.alive && ["running", "paused"].includes(progress.state);
  byId("state").textContent = orphaned ? `${progress.state}, no driver` : progress.state;
  byId("state").dataset.alive = progress.alive;
  byId("tiles").replaceChildren(...tiles(progress, page.savings));
  drawPhases(progress);
  fill(byId("phase"), [["", "all"], ...progress.phases.map(({ phase }) => [phase, phase])]);
  const cells = [...new Set(progress.phases.flatMap(({ cells: rows }) => rows.map(({ cell }) => cell)))];
  fill(byId("cell"), [["", "all"], ...cells.map((cell) => [cell, cell])]);
  // Answers about many trials may be some seconds behind the progress: what changed is asked for once more, later.
  page.again = progress.seq !== page.seq ? 1 : page.again - 1;
  if (page.again < 0) return;
  choosePhase(progress);
  const { plan } = await get(path);
  page.parts = applying(plan);
  fill(byId("across"), acrossOf(plan));
  await drawParts(study, (entry) => entry.across);
  if (page.seq < 0) performance.mark("interactive"); // once a study: marks are kept for as long as the page is open
  await drawParts(study, (entry) => !entry.across && !entry.slow);
  if (study !== page.study) return;
  page.savings = await get(`${path}/${SAVINGS}`);
  byId("tiles").replaceChildren(...tiles(progress, page.savings));
  page.seq = progress.seq;
  refreshSlow();
}

const drawParts = (study, wanted) =>
  Promise.all(page.parts.filter(wanted).map((entry) => drawPart(entry, study, { chosen: chosen(), across: byId("across").value, onPick: openTrial })));

// What has not changed is not drawn again: a button that is replaced loses the focus.
function drawPhases(progress) {
  const shown = JSON.stringify(progress.phases);
  if (shown === page.shown) return;
  page.shown = shown;
  byId("phases").replaceChildren(...phases(progress, openTrial));
  byId("csv").textContent = progress.planned > CSV_ROWS ? `CSV of the first ${CSV_ROWS.toLocaleString("en")} trials` : "CSV";
}

// Phases are not pooled unless asked for: a search hunts for the best, a grid covers all, and their means do not compare.
function choosePhase({ phases: found }) {
  if (!page.picked.has("phase")) byId("phase").value = found.findLast(({ complete }) => complete)?.phase ?? "";
}

// What ladders can be drawn across: the headline quality, the step count, and every metric over all signals.
function acrossOf({ cells = [] }) {
  const metrics = cells.flatMap(({ metrics: declared = [] }) => declared).filter(({ split }) => split === "all");
  const named = metrics.map(({ name, label }) => [name, label]);
  const known = named.length ? named : [["all_psnr", "PSNR"], ["all_iou", "IoU"], ["all_ssim", "SSIM"]];
  return [["", "quality"], ["steps", "fitting steps"], ...new Map(known)];
}

const chosen = () =>
  Object.fromEntries(["phase", "cell"].map((name) => [name, byId(name).value]).filter(([, value]) => value));

// A later choice does not wait for the answers to an earlier one.
function redraw() {
  drawParts(page.study, (entry) => entry.chosen && !entry.slow).then(refreshSlow).catch((error) => {
    failed(error);
    page.seq = -1; // all of it is drawn again
    setTimeout(refresh, RETRY_MS);
  });
}

byId("study").addEventListener("change", (event) => choose(event.target.value));
for (const name of ["phase", "cell", "across"]) {
  byId(name).addEventListener("change", () => { page.picked.add(name); redraw(); });
}
window.addEventListener("hashchange", () => { if (asked() !== page.study) begin(); });
byId("trial").addEventListener("click", (event) => { if (event.target === byId("trial")) byId("trial").close(); });
begin();
