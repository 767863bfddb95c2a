import { get, studyPath } from "./api.js";
import { byId, h } from "./dom.js";
import { number, quality, whole } from "./format.js";

const PICTURE = "reconstruction.png";
const MOST = 1000;

// Pictures of one cell, originals beside reconstructions: for each start and step count the trial of widest fields.
export async function drawGallery(study, { cell, phase, onTrial }) {
  const query = new URLSearchParams({ cell, x: "quality", y: "steps", limit: MOST, also: "all_iou", ...(phase && { phase }) });
  const found = await get(`${studyPath(study)}/points?${query}`);
  const chosen = new Map();
  found.key.forEach((key, i) => {
    const trial = { key, phase: found.phase[i], start: found.start[i], steps: found.steps[i], hidden: found.hidden[i] ?? 0, quality: found.x[i],
      measure: found.also.all_iou[i] === null ? "psnr" : "iou" };
    const place = `${trial.steps} ${trial.start}`;
    if ((chosen.get(place)?.hidden ?? -1) < trial.hidden) chosen.set(place, trial);
  });
  const rungs = [...chosen.values()].sort((a, b) => a.steps - b.steps || (a.start < b.start ? 1 : -1));
  const first = rungs[0];
  const shown = first && (await get(`v1/trials/${first.key}?${new URLSearchParams({ study })}`)).artifacts.includes(PICTURE);
  byId("gallery-part").hidden = !shown;
  if (!shown) return;
  byId("gallery-lead").textContent = `${cell}: originals above, reconstructions below, by steps and start.`;
  const keys = rungs.map(({ key }) => key).join();
  if (byId("gallery").dataset.keys === keys) return;
  byId("gallery").dataset.keys = keys;
  byId("gallery").replaceChildren(...rungs.map((trial) => picture(trial, onTrial)));
}

function picture(trial, onTrial) {
  const words = `${whole(trial.steps)} steps, ${trial.start} start`;
  const figure = h("figure", { class: "small" },
    h("button", { type: "button", onclick: () => onTrial(trial), "aria-label": `${words}: show trial ${trial.key}` },
      h("img", { src: `v1/trials/${trial.key}/artifacts/${PICTURE}`, loading: "lazy", alt: `Originals and reconstructions, ${words}`,
        onerror: () => figure.remove() })),
    h("figcaption", {}, `${words} · hidden ${number(trial.hidden)} · ${quality(trial.quality, trial.measure)}`));
  return figure;
}
