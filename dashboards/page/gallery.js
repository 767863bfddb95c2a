import { get, studyPath } from "./api.js";
import { byId, h } from "./dom.js";
import { accuracy, number, whole } from "./format.js";

const PICTURE = "reconstruction.png";
const FIELDS = "key,phase,start,steps,hidden,all_psnr,test_accuracy";

// Pictures of one cell, originals above reconstructions: for each start and step count the trial of widest fields.
export async function drawGallery(study, { cell, phase, onTrial }) {
  const query = new URLSearchParams({ cell, state: "COMPLETE", sort: "steps", fields: FIELDS, limit: 1000, ...(phase && { phase }) });
  const { trials } = await get(`${studyPath(study)}/trials?${query}`);
  const chosen = new Map();
  for (const trial of trials) {
    const place = `${trial.steps} ${trial.start}`;
    if ((chosen.get(place)?.hidden ?? -1) < (trial.hidden ?? 0)) chosen.set(place, trial);
  }
  const first = chosen.values().next().value;
  const shown = first && (await get(`/v1/trials/${first.key}?study=${study}`)).artefacts.includes(PICTURE);
  byId("gallery-part").hidden = !shown;
  if (!shown) return;
  byId("gallery-lead").textContent = `${cell}: originals above, reconstructions below, by steps and start.`;
  const keys = [...chosen.values()].map(({ key }) => key).join();
  if (byId("gallery").dataset.keys === keys) return;
  byId("gallery").dataset.keys = keys;
  byId("gallery").replaceChildren(...[...chosen.values()].map((trial) => picture(trial, onTrial)));
}

function picture(trial, onTrial) {
  const words = `${whole(trial.steps)} steps, ${trial.start} start`;
  const figure = h("figure", { class: "small" },
    h("button", { type: "button", onclick: () => onTrial(trial), "aria-label": `${words}: show trial ${trial.key}` },
      h("img", { src: `/v1/trials/${trial.key}/artefacts/${PICTURE}`, loading: "lazy", alt: `Originals and reconstructions, ${words}`,
        onerror: () => figure.remove() })),
    h("figcaption", {}, `${words} · hidden ${number(trial.hidden)} · ${number(trial.all_psnr)} dB · test ${accuracy(trial.test_accuracy)}`));
  return figure;
}
