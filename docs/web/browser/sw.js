// Keeps what was loaded once, so that pages work without a network: pinned files first from the store, pages from the network.
const STORE = "tinyseq-@version@";
const PINNED = /pyodide|\.whl$|_static\//;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((n) => n !== STORE).map((n) => caches.delete(n))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

async function load(request) {
  const store = await caches.open(STORE);
  const kept = await store.match(request);
  if (kept && PINNED.test(request.url)) return kept;
  try {
    const answer = await fetch(request);
    if (answer.ok) store.put(request, answer.clone());
    return answer;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(load(event.request));
});
