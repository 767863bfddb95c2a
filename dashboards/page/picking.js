import { h } from "./dom.js";

const PLAYED = new WeakSet();
const frames = (count) => (count ? new Promise(requestAnimationFrame).then(() => frames(count - 1)) : null);

// Lets the trials of a chart be pointed at, walked through by arrow keys and opened by Enter or a click.
// The chart shows its tip by Plot's pointer; a key plays the pointer to the next trial's place.
export function pickable(frame, { onPick }) {
  const said = h("p", { class: "unseen", role: "status" });
  const held = { svg: null, order: [], place: null, at: -1, pointer: null, frame };
  frame.after(said);
  frame.addEventListener("pointerdown", (event) => event.stopPropagation(), { capture: true }); // no tip that sticks
  frame.addEventListener("pointermove", (event) => { if (!PLAYED.has(event)) held.pointer = [event.clientX, event.clientY]; });
  frame.addEventListener("pointerleave", () => { held.pointer = null; });
  frame.addEventListener("click", () => { if (held.svg?.value) onPick(held.svg.value); });
  frame.addEventListener("blur", () => play(held, "pointerleave", [0, 0]));
  frame.addEventListener("keydown", async (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter" && held.svg?.value) onPick(held.svg.value);
    if (!step || !held.order.length) return;
    event.preventDefault();
    await walk(held, step);
    said.textContent = held.svg.value?.text ?? "";
  });
  return (svg, { order, place, label }) => {
    Object.assign(held, { svg, order, place, at: -1 });
    frame.setAttribute("tabindex", "0");
    frame.setAttribute("role", "application");
    frame.setAttribute("aria-label", `${label} Arrow keys walk through them, Enter opens one.`);
    svg.setAttribute("aria-hidden", "true");
    if (held.pointer && frame.matches(":hover")) requestAnimationFrame(() => play(held, "pointermove", held.pointer));
  };
}

// Trials that hide behind the one shown are passed over: what Enter opens is what is seen.
async function walk(held, step) {
  const before = held.svg.value;
  for (let tried = 0; tried < held.order.length; tried += 1) {
    const count = held.order.length;
    held.at = held.at < 0 ? (step > 0 ? 0 : count - 1) : (held.at + step + count) % count;
    const { left, top } = held.svg.getBoundingClientRect();
    const [x, y] = held.place(held.order[held.at]);
    play(held, "pointermove", [left + x, top + y]);
    await frames(2);
    if (held.svg.value && held.svg.value !== before) return;
  }
}

function play({ svg }, type, [clientX, clientY]) {
  const event = new PointerEvent(type, { clientX, clientY, pointerType: "mouse", bubbles: type !== "pointerleave" });
  PLAYED.add(event);
  svg?.dispatchEvent(event);
}
