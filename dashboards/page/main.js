import { POLL_MS, follow, get, studyPath } from "./api.js";
import { d3 } from "./charts.js";
import { byId, fill } from "./dom.js";
import { NOT_RUNNING, phases, tiles } from "./progress.js";
import { ENTRIES, applicable, clearDrawn, drawPart, makeSections } from "./sections.js";
import { showTrial } from "./trial.js";

const RETRY_MS = 4000;
const LIST_MS = 30_000; // how often to reload the list of studies
const MAX_ROWS = 1000; // the service's limit per response
const SAVINGS = "tables/savings?";
// `seq`: last event drawn; `latest`: last event received; `refreshes`: full redraws left; `phasesJson`: progress drawn; `listedAt`: time of the last list of studies
const page = { study: null, savings: null, parts: ENTRIES, picked: new Set(), stop: null, seq: -1, latest: -1, refreshes: 0, phasesJson: null, listedAt: 0 };
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
    notice("No studies yet. Start one with: python studies/smoke.py");
    setTimeout(begin, RETRY_MS);
    return;
  }
  notice("");
  choose(names.includes(studyInAddress()) ? studyInAddress() : names[0]);
}

const begin = () => start().catch((error) => { showError(error); setTimeout(begin, RETRY_MS); });

async function listStudies() {
  const names = (await get("v1/studies")).studies.map(({ study }) => study);
  page.listedAt = Date.now();
  if (names.length) fill(byId("study"), d3.sort(names).map((name) => [name, name]));
  return names;
}

// Returns the study named in the URL's fragment.
function studyInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function choose(study) {
  page.stop?.();
  Object.assign(page, { study, seq: -1, latest: -1, savings: null, phasesJson: null });
  page.picked.clear();
  clearDrawn();
  byId("study").value = study;
  history.replaceState(null, "", `#${encodeURIComponent(study)}`);
  document.title = `${study} · nefstudy`;
  for (const format of ["json", "csv"]) byId(format).href = `${studyPath(study)}/trials?format=${format}&limit=${MAX_ROWS}`;
  page.stop = follow(study, { changed: refresh, latest: (seq) => { page.latest = seq; }, live: showLive });
  refresh();
}

function showLive(on) {
  byId("live").dataset.on = on;
  byId("live").textContent = on ? "live" : `reconnecting (updates every ${POLL_MS / 1000} s)`;
}

// Returns a function that runs `act` one call at a time: calls during a run cause one more run afterwards. A failed run is
// retried after a delay, because an idle study sends no event that would trigger it.
function serialized(act) {
  const state = { busy: false, again: false, retry: null };
  return async function run() {
    state.again = state.busy;
    if (state.busy) return;
    state.busy = true;
    clearTimeout(state.retry);
    try {
      await act();
      notice("");
    } catch (error) {
      showError(error);
      state.retry = setTimeout(run, RETRY_MS);
    }
    state.busy = false;
    if (state.again) run();
  };
}

const refresh = serialized(async () => {
  await draw(page.study);
  if (Date.now() - page.listedAt >= LIST_MS) await listStudies();
  if (page.seq < page.latest) setTimeout(refresh, RETRY_MS); // a busy service answered from before the event
});
// Parts that take seconds to compute for a large study; drawn separately, so that they do not delay the rest.
const refreshSlow = serialized(() => drawParts(page.study, (entry) => entry.slow));

const showError = (error) => notice(`${error.message}. Retrying…`);

async function draw(study) {
  const path = studyPath(study);
  const progress = await get(`${path}/progress`);
  if (study !== page.study) return;
  const orphaned = !progress.alive && ["running", "paused"].includes(progress.state);
  byId("state").textContent = orphaned ? NOT_RUNNING : progress.state;
  byId("state").dataset.alive = progress.alive;
  byId("tiles").replaceChildren(...tiles(progress, page.savings));
  drawPhases(progress);
  fill(byId("phase"), [["", "all"], ...progress.phases.map(({ phase }) => [phase, phase])]);
  const cells = [...new Set(progress.phases.flatMap(({ cells: rows }) => rows.map(({ cell }) => cell)))];
  fill(byId("cell"), [["", "all"], ...cells.map((cell) => [cell, cell])]);
  // Figures over many trials may lag the progress by seconds, so the refresh after a change is repeated once.
  page.refreshes = progress.seq !== page.seq ? 1 : page.refreshes - 1;
  if (page.refreshes < 0) return;
  choosePhase(progress);
  const { plan } = await get(path);
  page.parts = applicable(plan);
  fill(byId("x-axis"), xAxisOptions(plan));
  await drawParts(study, (entry) => entry.xAxis);
  if (page.seq < 0) performance.mark("interactive"); // once per study: the browser keeps marks while the page is open
  await drawParts(study, (entry) => !entry.xAxis && !entry.slow);
  if (study !== page.study) return;
  page.savings = await get(`${path}/${SAVINGS}`);
  byId("tiles").replaceChildren(...tiles(progress, page.savings));
  page.seq = progress.seq;
  refreshSlow();
}

const drawParts = (study, predicate) =>
  Promise.all(page.parts.filter(predicate).map((entry) => drawPart(entry, study, { filters: filters(), xAxis: byId("x-axis").value, onPick: openTrial })));

// Redraws the progress only if it changed: a replaced button loses the keyboard focus.
function drawPhases(progress) {
  const json = JSON.stringify(progress.phases);
  if (json === page.phasesJson) return;
  page.phasesJson = json;
  byId("phases").replaceChildren(...phases(progress, openTrial));
  const first = progress.planned > MAX_ROWS ? ` (first ${MAX_ROWS.toLocaleString("en")} trials)` : "";
  for (const format of ["json", "csv"]) byId(format).textContent = `${format.toUpperCase()}${first}`;
}

// Selects the last phase with results, until the user selects one. Phases are not pooled by default: a search concentrates on
// good settings and a grid covers all of them, so their means are not comparable.
function choosePhase({ phases: rows }) {
  if (!page.picked.has("phase")) byId("phase").value = rows.findLast(({ complete }) => complete)?.phase ?? "";
}

// Returns the options for the x axis of ladders: the headline quality, the step count, and every metric over all signals.
function xAxisOptions({ cells = [] }) {
  const metrics = cells.flatMap(({ metrics: declared = [] }) => declared).filter(({ split }) => split === "all");
  const named = metrics.map(({ name, label }) => [name, label]);
  const known = named.length ? named : [["all_psnr", "PSNR"], ["all_iou", "IoU"], ["all_ssim", "SSIM"]];
  return [["", "quality"], ["steps", "fitting steps"], ...new Map(known)];
}

const filters = () =>
  Object.fromEntries(["phase", "cell"].map((name) => [name, byId(name).value]).filter(([, value]) => value));

// Redraws the parts that depend on the filters, without waiting for responses to an earlier selection.
function redraw() {
  drawParts(page.study, (entry) => entry.filtered && !entry.slow).then(refreshSlow).catch((error) => {
    showError(error);
    page.seq = -1; // forces a full redraw
    setTimeout(refresh, RETRY_MS);
  });
}

byId("study").addEventListener("change", (event) => choose(event.target.value));
for (const name of ["phase", "cell", "x-axis"]) {
  byId(name).addEventListener("change", () => { page.picked.add(name); redraw(); });
}
window.addEventListener("hashchange", () => { if (studyInAddress() !== page.study) begin(); });
byId("trial").addEventListener("click", (event) => { if (event.target === byId("trial")) byId("trial").close(); });
begin();
