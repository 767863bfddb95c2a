import { h } from "./dom.js";

const SYNTHETIC = new WeakSet();
const frames = (count) => (count ? new Promise(requestAnimationFrame).then(() => frames(count - 1)) : null);

// Makes the trials of a chart selectable by pointer or arrow keys; a click or Enter opens one.
// Plot shows a tip at the pointer, so an arrow key dispatches a pointer event at the next trial's position.
export function pickable(frame, { onPick }) {
  const status = h("p", { class: "visually-hidden", role: "status" });
  const state = { svg: null, order: [], place: null, at: -1, pointer: null, frame };
  frame.after(status);
  frame.addEventListener("pointerdown", (event) => event.stopPropagation(), { capture: true }); // Plot would pin the tip
  frame.addEventListener("pointermove", (event) => { if (!SYNTHETIC.has(event)) state.pointer = [event.clientX, event.clientY]; });
  frame.addEventListener("pointerleave", () => { state.pointer = null; });
  frame.addEventListener("click", () => { if (state.svg?.value) onPick(state.svg.value); });
  frame.addEventListener("blur", () => dispatch(state, "pointerleave", [0, 0]));
  frame.addEventListener("keydown", async (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter" && state.svg?.value) onPick(state.svg.value);
    if (!step || !state.order.length) return;
    event.preventDefault();
    await move(state, step);
    status.textContent = state.svg.value?.text ?? "";
  });
  return (svg, { order, place, label }) => {
    Object.assign(state, { svg, order, place, at: -1 });
    frame.setAttribute("tabindex", "0");
    frame.setAttribute("role", "application");
    frame.setAttribute("aria-label", `${label} Use the arrow keys to move between trials and Enter to open one.`);
    svg.setAttribute("aria-hidden", "true");
    if (state.pointer && frame.matches(":hover")) requestAnimationFrame(() => dispatch(state, "pointermove", state.pointer));
  };
}

// Moves to the next trial with its own tip, skipping trials hidden behind another: Enter opens the trial that is shown.
async function move(state, step) {
  const before = state.svg.value;
  for (let tried = 0; tried < state.order.length; tried += 1) {
    const count = state.order.length;
    state.at = state.at < 0 ? (step > 0 ? 0 : count - 1) : (state.at + step + count) % count;
    const { left, top } = state.svg.getBoundingClientRect();
    const [x, y] = state.place(state.order[state.at]);
    dispatch(state, "pointermove", [left + x, top + y]);
    await frames(2);
    if (state.svg.value && state.svg.value !== before) return;
  }
}

function dispatch({ svg }, type, [clientX, clientY]) {
  const event = new PointerEvent(type, { clientX, clientY, pointerType: "mouse", bubbles: type !== "pointerleave" });
  SYNTHETIC.add(event);
  svg?.dispatchEvent(event);
}
