// Which screen when. The server's state decides; the page keeps nothing but what the reader is typing.
import { $, el, toast } from "./dom.js";
import { call, follow } from "./server.js";
import { language, load, preferred, t } from "./text.js";
import { questionView } from "./question.js";
import { idleView, liveView } from "./live.js";
import { conditionsView } from "./conditions.js";
import { historyView } from "./history.js";
import { meView } from "./me.js";
import { badLinkView, registerView, strangerView } from "./welcome.js";

const link = location.pathname.startsWith("/d/e/") ? location.pathname + location.search : null;
const CLAIM_TRIES = 24; // every 5 s: two minutes
let state = null;
let place = null;
let car = null; // the plug-in that the reader looks at, where several of theirs are plugged in
let tab = "now";
let changing = false;
let claimRefused = null;
let view = null;
let make = null;

async function start() {
  await load(preferred());
  translateShell();
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("/d/sw.js").catch(() => {});
  if (link && !(await openLink())) return;
  await enter();
}

// The EVSE behind the link; false when the page must stop here.
async function openLink() {
  try {
    place = await call("GET", `evse?${new URLSearchParams({ link })}`);
    return true;
  } catch (error) {
    if (!error.status) return true;
    show(() => badLinkView());
    return false;
  }
}

async function enter() {
  try {
    receive(await call("GET", "state"));
  } catch (error) {
    if (error.status === 401) show(() => (place ? registerView(link, place, enter) : strangerView(enter)));
    else { toast(t("offline.not_loaded"), true); setTimeout(enter, 5000); }
    return;
  }
  follow(receive, net);
  document.addEventListener("visibilitychange", refresh);
  if (link) claim();
  setInterval(() => view?.tick?.(), 1000);
}

// A phone that slept may have missed events, and its stream may be dead without knowing.
async function refresh() {
  if (document.visibilityState !== "visible") return;
  await call("GET", "state").then(receive, () => net(false));
}

// Says "I stand here": a plug-in that waits there is ours at once, the next one for some minutes. Then the link leaves
// the address, so that opening this page again some other day is not taken for a scan. Where the line or the server is
// down it is said again, for as long as somebody may still stand there.
async function claim(triesLeft = CLAIM_TRIES) {
  try {
    await call("POST", "claim", { link });
    history.replaceState(null, "", "/d/");
  } catch (error) {
    refused(error);
    const isDown = !error.status || error.status >= 500 || error.status === 429;
    if (isDown && triesLeft > 1) setTimeout(claim, 5000, triesLeft - 1);
  }
}

// A car that more than the link is needed for stays on the screen with what to do; somebody else's private charging
// point says so; anything else is the line.
function refused(error) {
  if (error.reason) { claimRefused = error.reason; render(); }
  else if (error.status === 403) toast(error.message, true);
  else net(false);
}

// An answer that was under way while the stream told something newer is of before.
function receive(next) {
  if (state && next.number < state.number) return;
  state = next;
  state.plug_ins ??= state.plug_in ? [state.plug_in] : []; // seen last with an earlier page
  state.plug_in = state.plug_ins.find((each) => each.id === car) ?? state.plug_in;
  if (preferred(state.user.language) !== language) load(preferred(state.user.language)).then(() => { translateShell(); render(true); });
  render();
}

function render(again = false) {
  const next = choose();
  if (!again && view && view.key === next.key) view.update(state);
  else show(next.make);
  showClaim();
  showCars();
  showTabs();
}

// Several cars of one user at once: each has its own question and its own answer.
function showCars() {
  const node = $("#cars");
  node.hidden = tab !== "now" || state.plug_ins.length < 2;
  node.replaceChildren(...(node.hidden ? [] : state.plug_ins).map((each) => el("button", {
    class: "quiet", "aria-current": each.id === state.plug_in.id ? "true" : null, testid: "car",
    onclick: () => { car = each.id; changing = false; receive(state); },
  }, (each.permission.state === "asked" ? "● " : "") + t("place", each))));
}

// Why the car at the link's place, or the one that was the reader's, is not theirs, and what to do.
function why() {
  if (claimRefused) return t(`claim.${claimRefused}`);
  return state.taken_over ? t("claim.taken_over", { place: t("place", state.taken_over) }) : "";
}

// Whose car is plugged in at another place is told above it.
function showClaim() {
  const node = $("#claim");
  const said = state.plug_in && tab === "now" ? why() : "";
  node.hidden = !said;
  node.textContent = said && claimRefused && place ? `${t("place", place)}: ${said}` : said;
}

function choose() {
  if (tab === "conditions") {
    return { key: `conditions:${JSON.stringify(state.patterns)}`, make: () => conditionsView(state, reload) };
  }
  if (tab === "me") return { key: `me:${JSON.stringify(state.vehicles)}`, make: () => meView(state) };
  if (tab === "history") return { key: "history", make: () => historyView(state) };
  const plugIn = state.plug_in;
  if (!plugIn) {
    changing = false;
    const where = place ? t("place", place) : "";
    return { key: `idle:${where}:${why()}`, make: () => idleView(state, where, why()) };
  }
  if (!place || (plugIn.station === place.station && plugIn.evse === place.evse)) claimRefused = null;
  if (plugIn.permission.state === "asked" || changing) {
    return { key: `question:${plugIn.id}`, make: () => questionView(state, answered) };
  }
  return { key: `live:${plugIn.id}`, make: () => liveView(state, () => { changing = true; render(); }) };
}

async function reload() {
  receive(await call("GET", "state"));
}

async function answered() {
  changing = false;
  car = state.plug_ins.some((each) => each.id !== state.plug_in.id && each.permission.state === "asked") ? null : state.plug_in.id;
  toast(t("question.thanks"));
  await reload();
}

function show(next) {
  make = next;
  view = make();
  const main = $("#main");
  main.replaceChildren(view.node);
  main.removeAttribute("aria-busy");
  view.tick?.();
  document.title = view.key.startsWith("question") ? `● ${t("question.title")}` : "Tidewatt";
  window.scrollTo(0, 0);
  $("h1", main)?.focus({ preventScroll: true });
}

function showTabs() {
  const nav = $("#tabs");
  nav.hidden = false;
  nav.replaceChildren(...["now", "conditions", "history", "me"].map((name) => el("button", {
    "aria-current": name === tab ? "page" : null, testid: `tab-${name}`,
    onclick: () => { tab = name; changing = false; render(true); },
  }, t(`tab.${name}`))));
}

function net(up, isNew = false) {
  if (isNew && state) state.number = 0;
  const node = $("#net");
  node.hidden = up;
  node.textContent = up ? "" : t("offline.seen", { time: state ? new Date(state.at).toLocaleTimeString(language, { timeStyle: "short" }) : "–" });
}

function translateShell() {
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  const select = $("#language");
  select.value = language;
  select.setAttribute("aria-label", t("language"));
  $("#tabs").setAttribute("aria-label", t("tabs"));
}

$("#language").addEventListener("change", async (event) => {
  localStorage.setItem("language", event.target.value);
  await load(event.target.value);
  translateShell();
  if (make) show(make);
  if (state) { showClaim(); showCars(); showTabs(); }
});

start();
