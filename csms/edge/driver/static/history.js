// Past plug-ins and the balance over any period. P13.
import { el, toast, field } from "./dom.js";
import { call } from "./server.js";
import { t, money, kwh, day, clock } from "./text.js";

const DAY_MS = 86400000;
const asDate = (at) => new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 10);

export function historyView(state) {
  const from = el("input", { type: "date", value: asDate(Date.now() - 30 * DAY_MS), testid: "from" });
  const to = el("input", { type: "date", value: asDate(Date.now()), testid: "to" });
  const sums = el("section", { class: "card sums", testid: "sums", "aria-live": "polite" });
  const list = el("ul", { class: "list" });
  const load = () => fill(from, to, sums, list, state.currency);
  from.addEventListener("change", load);
  to.addEventListener("change", load);
  load();
  return {
    key: "history",
    node: el("div", { class: "stack" }, el("h1", { tabindex: -1 }, t("history.title")),
      el("div", { class: "pair" }, field(t("history.from"), from), field(t("history.to"), to)), sums,
      el("h2", {}, t("history.plug_ins")), list),
    update() {},
  };
}

async function fill(from, to, sums, list, currency) {
  const period = new URLSearchParams({
    from: new Date(`${from.value}T00:00`).toISOString(),
    to: new Date(+new Date(`${to.value}T00:00`) + DAY_MS).toISOString(),
  });
  try {
    const history = await call("GET", `history?${period}`);
    showSums(sums, await call("GET", `balance?${period}`).catch(() => null));
    list.replaceChildren(...(history.plug_ins.length ? history.plug_ins.map((one) => row(one, currency))
      : [el("li", { class: "muted" }, t("history.none"))]));
  } catch (error) {
    toast(error.status ? error.message : t("offline.not_loaded"), true);
  }
}

function showSums(node, balance) {
  if (!balance) { node.replaceChildren(el("p", { class: "muted" }, t("offline.not_loaded"))); return; }
  const line = (name, energy, minor) => el("tr", {}, el("th", { scope: "row" }, name),
    el("td", {}, kwh(energy)), el("td", {}, money(minor, balance.currency)));
  node.replaceChildren(
    el("p", { class: "amount", testid: "amount" }, money(balance.amount_minor, balance.currency)),
    el("p", { class: "muted" }, t(balance.amount_minor >= 0 ? "history.credit" : "history.due")),
    el("table", {}, line(t("history.sold"), balance.sold_wh, balance.earned_minor),
      line(t("history.bought"), balance.bought_wh, -balance.spent_minor),
      ...(balance.rewarded_wh ? [line(t("history.rewarded"), balance.rewarded_wh, balance.rewarded_minor)] : [])));
}

function row(plugIn, currency) {
  const until = plugIn.unplugged_at ? clock(plugIn.unplugged_at) : t("history.now");
  return el("li", { class: "card row", testid: "plug-in" },
    el("div", {}, el("strong", {}, day(plugIn.plugged_at)),
      el("span", { class: "muted" }, `${clock(plugIn.plugged_at)} – ${until}`),
      el("span", { class: "muted" }, t("place", { station: plugIn.station, evse: plugIn.evse }))),
    el("div", { class: "end" }, el("strong", {}, money(plugIn.amount_minor, currency)),
      el("span", { class: "muted" }, `↑ ${kwh(plugIn.sold_wh)}`), el("span", { class: "muted" }, `↓ ${kwh(plugIn.bought_wh)}`)));
}
