const POLL_MS = 4000;
const SETTLE_MS = 700;

const MOST_KEPT = 40;
const kept = new Map();

// The answer at a path: the very same object as before while it says the same, so that nothing need be drawn anew.
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

export const studyPath = (study) => `/v1/studies/${encodeURIComponent(study)}`;

// Calls `changed` after events of the study, bundled; falls back to asking every few seconds while the stream is away.
export function follow(study, { changed, live }) {
  let due = null;
  const soon = () => { due ??= setTimeout(() => { due = null; changed(); }, SETTLE_MS); };
  const source = new EventSource(`${studyPath(study)}/events`);
  source.addEventListener("open", () => live(true));
  source.addEventListener("error", () => live(false));
  source.addEventListener("message", soon);
  const poll = setInterval(() => { if (source.readyState !== EventSource.OPEN) soon(); }, POLL_MS);
  return () => { source.close(); clearInterval(poll); clearTimeout(due); };
}
