import { h } from "./dom.js";

// Draws pictures of trials with their captions.
export function drawGallery(frame, { pictures }, { onPick }) {
  const keys = pictures.map(({ trial }) => trial.key).join();
  if (frame.dataset.keys === keys) return;
  frame.dataset.keys = keys;
  frame.classList.add("gallery");
  frame.replaceChildren(...pictures.map((picture) => figureOf(picture, onPick)));
}

function figureOf({ trial, artifact, caption }, onPick) {
  const figure = h("figure", { class: "small" },
    h("button", { type: "button", onclick: () => onPick(trial), "aria-label": `${caption}: show trial ${trial.key}` },
      h("img", { src: `v1/trials/${trial.key}/artifacts/${artifact}`, loading: "lazy", alt: `Originals and reconstructions, ${caption}`,
        onerror: () => figure.remove() })),
    h("figcaption", {}, caption));
  return figure;
}
