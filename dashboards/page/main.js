import { follow, get, studyPath } from "./api.js";
import { byId, fill } from "./dom.js";
import { drawGallery } from "./gallery.js";
import { figures } from "./figures.js";
import { parallel } from "./parallel.js";
import * as sections from "./sections.js";
import { overTime } from "./time.js";
import { showTrial } from "./trial.js";

const page = { study: null, savings: null, cell: null, phase: null, picked: false, stop: null, seq: -1 };
const picks = { onPick: openTrial };
const accuracies = figures(picks);
const drawParallel = parallel(picks);

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function openTrial(trial) {
  showTrial(byId("trial"), { key: trial.key, study: page.study, phase: trial.phase }).catch((error) => notice(error.message));
}

async function start() {
  const { studies } = await get("/v1/studies");
  if (!studies.length) {
    notice("The ledger holds no study yet. Start one with: python studies/smoke.py");
    setTimeout(() => start().catch(failed), 4000);
    return;
  }
  fill(byId("study"), studies.map(({ study }) => [study, study]));
  const asked = decodeURIComponent(location.hash.slice(1));
  choose(studies.some(({ study }) => study === asked) ? asked : studies[0].study);
}

function choose(study) {
  page.stop?.();
  Object.assign(page, { study, seq: -1, savings: null, picked: false });
  byId("study").value = study;
  history.replaceState(null, "", `#${encodeURIComponent(study)}`);
  document.title = `${study} · nefstudy`;
  byId("json").href = `${studyPath(study)}/trials`;
  byId("csv").href = `${studyPath(study)}/trials?format=csv&limit=1000`;
  page.stop = follow(study, { changed: refresh, live: showLive });
  refresh();
}

function showLive(on) {
  byId("live").dataset.on = on;
  byId("live").textContent = on ? "live" : "reconnecting";
}

// One run at a time; what is asked for meanwhile is one more run afterwards.
function single(act) {
  let busy = false;
  let again = false;
  return async function run() {
    again = busy;
    if (busy) return;
    busy = true;
    await act().catch(failed);
    busy = false;
    if (again) run();
  };
}

const refresh = single(async () => { await draw(page.study); notice(""); });
// What takes the service seconds over a large study does not hold up the rest.
const refreshMatters = single(() => drawMatters(page.study));

const failed = (error) => notice(`${error.message}. The page keeps trying.`);

async function draw(study) {
  const path = studyPath(study);
  const progress = await get(`${path}/progress`);
  if (study !== page.study) return;
  const orphaned = !progress.alive && ["running", "paused"].includes(progress.state);
  byId("state").textContent = orphaned ? `${progress.state}, no driver` : progress.state;
  byId("state").dataset.alive = progress.alive;
  byId("tiles").replaceChildren(...sections.tiles(progress, page.savings));
  byId("phases").replaceChildren(...sections.phases(progress, openTrial));
  fill(byId("phase"), [["", "all"], ...progress.phases.map(({ phase }) => [phase, sections.phaseName(phase)])]);
  const last = progress.phases.at(-1);
  Object.assign(page, { cell: last?.cells[0]?.cell, phase: last?.phase });
  const cells = [...new Set(progress.phases.flatMap(({ cells: rows }) => rows.map(({ cell }) => cell)))];
  fill(byId("cell"), [["", "all"], ...cells.map((cell) => [cell, cell])]);
  if (progress.seq === page.seq) return;
  choosePhase(progress);
  await accuracies.first(study, chosen());
  performance.mark("interactive");
  await accuracies.then(study, chosen());
  const [starts, best, failures, savings, time, replicates] = await Promise.all(
    ["start-table", "best?limit=3", "failures", "savings", "timeline", "replicates"].map((part) => get(`${path}/${part}`)));
  if (study !== page.study) return;
  page.savings = savings;
  byId("tiles").replaceChildren(...sections.tiles(progress, savings));
  sections.savings(byId("savings"), savings);
  overTime(time);
  byId("starts").replaceChildren(...sections.starts(starts));
  byId("replicates-part").hidden = !replicates.rows.length;
  byId("replicates").replaceChildren(...sections.replicates(replicates.rows, openTrial));
  byId("best").replaceChildren(...sections.best(best.best.slice(0, 12), openTrial));
  byId("failures-part").hidden = !failures.failures.length;
  byId("failures").replaceChildren(...sections.failures(failures.failures, openTrial));
  page.seq = progress.seq;
  refreshMatters();
}

// Phases are not pooled unless asked for: a search hunts for the best, a grid covers all, and their means do not compare.
function choosePhase({ phases }) {
  if (page.picked) return;
  byId("phase").value = phases.findLast(({ complete }) => complete)?.phase ?? "";
}

const chosen = () =>
  Object.fromEntries(["phase", "cell"].map((name) => [name, byId(name).value]).filter(([, value]) => value));

// What depends on the chosen phase and cell: the pictures first, then what takes the service longer.
async function drawCells(study) {
  await accuracies.first(study, chosen());
  await accuracies.then(study, chosen());
  refreshMatters();
}

async function drawMatters(study) {
  const cell = chosen().cell ?? page.cell;
  const gallery = cell ? drawGallery(study, { cell, phase: chosen().phase ?? page.phase, onTrial: openTrial }) : null;
  const matters = await get(`${studyPath(study)}/importance?${new URLSearchParams(chosen())}`);
  if (study !== page.study) return;
  sections.importance(byId("importance"), matters);
  await Promise.all([gallery, drawParallel(study, chosen(), matters.parameters)]);
}

byId("study").addEventListener("change", (event) => choose(event.target.value));
byId("phase").addEventListener("change", () => { page.picked = true; });
for (const name of ["phase", "cell", "across"]) byId(name).addEventListener("change", () => drawCells(page.study).catch(failed));
byId("trial").addEventListener("click", (event) => { if (event.target === byId("trial")) byId("trial").close(); });
start().catch(failed);
