// Keeps the shell and what was seen last, so that the page opens without the server (P10).
const SHELL = "shell-1";
const SEEN = "seen-1";
const FILES = ["/d/", "/d/app.css", "/d/app.js", "/d/dom.js", "/d/text.js", "/d/server.js", "/d/question.js",
  "/d/live.js", "/d/conditions.js", "/d/history.js", "/d/me.js", "/d/welcome.js", "/d/icon.svg", "/d/manifest.webmanifest",
  "/d/i18n/en.json", "/d/i18n/ja.json"];
const KEPT = ["/d/api/state", "/d/api/history", "/d/api/conditions"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(caches.keys()
    .then((names) => Promise.all(names.filter((n) => n !== SHELL && n !== SEEN).map((n) => caches.delete(n))))
    .then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || !url.pathname.startsWith("/d/")) return;
  if (KEPT.includes(url.pathname)) event.respondWith(newest(request, url.pathname, SEEN));
  else if (url.pathname.startsWith("/d/e/") && request.mode === "navigate") event.respondWith(page(request));
  else if (FILES.includes(url.pathname)) event.respondWith(newest(request, url.pathname, SHELL));
});

async function newest(request, key, name) {
  const cache = await caches.open(name);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(key, response.clone());
    if (response.status === 401) await caches.delete(SEEN);
    return response;
  } catch (error) {
    const kept = await cache.match(key);
    if (!kept) throw error;
    const headers = new Headers(kept.headers);
    headers.set("X-Seen-Last", "1");
    return new Response(kept.body, { status: 200, headers });
  }
}

async function page(request) {
  try {
    return await fetch(request);
  } catch {
    return caches.match("/d/");
  }
}
