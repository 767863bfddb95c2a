export const POLL_MS = 4000;
const QUIET_MS = 30_000; // refresh at least this often: a dead driver or a falling pace sends no event
const SETTLE_MS = 700;

const MAX_CACHED = 40;
const cache = new Map();

// Returns the JSON at a path. As long as its ETag is unchanged, this is the same object, so that callers can skip redrawing.
export async function get(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (response.status === 202) { // still computing
    await new Promise((done) => { setTimeout(done, 1000 * Number(response.headers.get("Retry-After") ?? 1)); });
    return get(path);
  }
  const etag = response.headers.get("ETag");
  const cached = cache.get(path);
  if (response.ok && etag && cached?.etag === etag) return cached.body;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `${response.status} from ${path}`);
  cache.delete(path);
  cache.set(path, { etag, body });
  if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value);
  return body;
}

export const studyPath = (study) => `v1/studies/${encodeURIComponent(study)}`;

// Calls `changed` after the study's events, debounced, and every half minute without events. While the stream is disconnected,
// polls every few seconds, and reopens the stream if the browser has closed it. Returns a function that stops all of this.
// `latest` receives the number of each event.
export function follow(study, { changed, latest, live }) {
  let timer = null;
  let calledAt = Date.now();
  const schedule = () => { timer ??= setTimeout(() => { timer = null; calledAt = Date.now(); changed(); }, SETTLE_MS); };
  const open = () => {
    const source = new EventSource(`${studyPath(study)}/events`);
    source.addEventListener("open", () => { live(true); schedule(); }); // events before it opened were missed
    source.addEventListener("error", () => live(false));
    source.addEventListener("message", ({ lastEventId }) => { latest(Number(lastEventId)); schedule(); });
    return source;
  };
  let source = open();
  const poll = setInterval(() => {
    if (source.readyState === EventSource.CLOSED) source = open();
    if (source.readyState !== EventSource.OPEN || Date.now() - calledAt >= QUIET_MS) schedule();
  }, POLL_MS);
  return () => { source.close(); clearInterval(poll); clearTimeout(timer); };
}
