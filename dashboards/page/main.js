import { follow, get, studyPath } from "./api.js";
import { byId, fill } from "./dom.js";
import { accuracy, number, whole } from "./format.js";
import { drawGallery } from "./gallery.js";
import { scatter, shapeOf } from "./scatter.js";
import * as sections from "./sections.js";
import { showTrial } from "./trial.js";

const MAX_POINTS = 5000;
const page = { study: null, savings: null, cell: null, stop: null, seq: -1, busy: false, again: false };
const plot = scatter(byId("plot"), { onPick: openTrial });

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
  Object.assign(page, { study, seq: -1, savings: null });
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

// One refresh at a time; what changes meanwhile is one more refresh afterwards.
async function refresh() {
  if (page.busy) { page.again = true; return; }
  page.busy = true;
  try {
    await draw(page.study);
    notice("");
  } catch (error) {
    failed(error);
  } finally {
    page.busy = false;
    if (page.again) { page.again = false; refresh(); }
  }
}

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
  page.cell = progress.phases.at(-1)?.cells[0]?.cell;
  const cells = [...new Set(progress.phases.flatMap(({ cells: rows }) => rows.map(({ cell }) => cell)))];
  fill(byId("cell"), [["", "all"], ...cells.map((cell) => [cell, cell])]);
  if (progress.seq === page.seq) return;
  const [starts, best, failures, savings] = await Promise.all([
    get(`${path}/start-table`), get(`${path}/best?limit=3`), get(`${path}/failures`), get(`${path}/savings`), drawCells(study)]);
  if (study !== page.study) return;
  Object.assign(page, { seq: progress.seq, savings });
  byId("tiles").replaceChildren(...sections.tiles(progress, savings));
  byId("starts").replaceChildren(...sections.starts(starts));
  byId("best").replaceChildren(...sections.best(best.best.slice(0, 12), openTrial));
  byId("failures-part").hidden = !failures.failures.length;
  byId("failures").replaceChildren(...sections.failures(failures.failures, openTrial));
}

// What depends on the chosen phase and cell.
async function drawCells(study) {
  const chosen = Object.fromEntries(["phase", "cell"].map((name) => [name, byId(name).value]).filter(([, value]) => value));
  const cell = chosen.cell ?? page.cell;
  const [matters] = await Promise.all([
    get(`${studyPath(study)}/importance?${new URLSearchParams(chosen)}`), drawPlot(study),
    cell ? drawGallery(study, { cell, phase: chosen.phase, onTrial: openTrial }) : null]);
  if (study === page.study) byId("importance").replaceChildren(...sections.importance(matters));
}

async function drawPlot(study) {
  const across = byId("across");
  const query = new URLSearchParams({ x: across.value, y: "test_accuracy", limit: MAX_POINTS });
  for (const name of ["phase", "cell"]) if (byId(name).value) query.set(name, byId(name).value);
  const found = await get(`${studyPath(study)}/points?${query}`);
  if (study !== page.study) return;
  const fields = [...new Set(found.cell.map((cell) => cell.split("/")[1]))].sort();
  const xLabel = across.selectedOptions[0].textContent + (across.value === "quality" ? " (dB)" : "");
  const points = found.key.map((key, i) => ({
    key, phase: found.phase[i], start: found.start[i], x: found.x[i], y: found.y[i],
    shape: shapeOf(fields, found.cell[i].split("/")[1]),
    text: `${found.cell[i]} · ${found.start[i]} start\n${whole(found.steps[i])} steps, hidden ${number(found.hidden[i])}\n`
      + `${xLabel} ${number(found.x[i])}\ntest accuracy ${accuracy(found.y[i])}`,
  }));
  const thinned = found.of > points.length ? ` (thinned evenly from ${whole(found.of)})` : "";
  plot.show({ points, xLabel, yLabel: "test accuracy", log: across.value === "steps",
    label: `Test accuracy against ${xLabel} of ${points.length} trials. Arrow keys walk through them, Enter opens one.` });
  byId("caption").replaceChildren(sections.legend(fields), `${whole(points.length)} complete trials${thinned}. Choose one for its curves and pictures.`);
}

byId("study").addEventListener("change", (event) => choose(event.target.value));
for (const name of ["phase", "cell", "across"]) byId(name).addEventListener("change", () => drawCells(page.study).catch(failed));
byId("trial").addEventListener("click", (event) => { if (event.target === byId("trial")) byId("trial").close(); });
start().catch(failed);
