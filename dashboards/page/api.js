const POLL_MS = 4000;
const CALM_MS = 30_000; // a driver that dies and a pace that falls make no event
const SETTLE_MS = 700;

const MOST_KEPT = 40;
const kept = new Map();

// The answer at a path: the same object as before while its ETag is the same, so that nothing is drawn again.
export async function get(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (response.status === 202) { // it is being computed
    await new Promise((done) => { setTimeout(done, 1000 * Number(response.headers.get("Retry-After") ?? 1)); });
    return get(path);
  }
  const mark = response.headers.get("ETag");
  const before = kept.get(path);
  if (response.ok && mark && before?.mark === mark) return before.body;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `${response.status} from ${path}`);
  kept.delete(path);
  kept.set(path, { mark, body });
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return body;
}

export const studyPath = (study) => `v1/studies/${encodeURIComponent(study)}`;

// Calls `changed` after events of the study, bundled, and every half minute without any; every few seconds while the stream is
// away, which is opened again where the browser has given it up.
export function follow(study, { changed, live }) {
  let due = null;
  let asked = Date.now();
  const soon = () => { due ??= setTimeout(() => { due = null; asked = Date.now(); changed(); }, SETTLE_MS); };
  const open = () => {
    const source = new EventSource(`${studyPath(study)}/events`);
    source.addEventListener("open", () => { live(true); soon(); }); // no event was sent before it opened
    source.addEventListener("error", () => live(false));
    source.addEventListener("message", soon);
    return source;
  };
  let source = open();
  const poll = setInterval(() => {
    if (source.readyState === EventSource.CLOSED) source = open();
    if (source.readyState !== EventSource.OPEN || Date.now() - asked >= CALM_MS) soon();
  }, POLL_MS);
  return () => { source.close(); clearInterval(poll); clearTimeout(due); };
}
