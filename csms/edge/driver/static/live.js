// What the vehicle does now: power with its direction, state of charge, price, DR event. P13, G11.
import { el } from "./dom.js";
import { t, kw, price, moment, money, kwh, clock } from "./text.js";
import { summary } from "./conditions.js";

const IDLE_W = 50;
const ROUND = 2 * Math.PI * 84;

export function direction(watts) {
  if (watts === null || watts === undefined) return "unknown";
  if (watts > IDLE_W) return "charging";
  return watts < -IDLE_W ? "giving" : "resting";
}

export function liveView(state, onChange) {
  const dial = ring();
  const parts = {
    notice: el("div", { class: "notice", role: "status", testid: "event-notice" }),
    failed: el("div", { class: "notice", role: "alert", testid: "start-failed" }),
    permission: el("p", { class: "permission", testid: "permission" }),
    conditions: el("p", { class: "summary" }),
    facts: el("dl", { class: "facts" }),
    place: el("p", { class: "place" }),
    title: el("h1", { tabindex: -1, testid: "doing" }),
    change: el("button", { class: "secondary", testid: "change-answer", onclick: onChange }),
  };
  const view = {
    key: `live:${state.plug_in.id}`,
    node: el("div", { class: "stack live", testid: "live" },
      el("div", { class: "hero" }, dial.node, parts.title, parts.place), parts.failed, parts.notice, parts.facts,
      el("section", { class: "card" }, parts.permission, parts.conditions, parts.change)),
    update: (next) => show(parts, dial, next),
  };
  view.update(state);
  return view;
}

function show(parts, dial, state) {
  const plugIn = state.plug_in;
  const doing = direction(plugIn.power_w);
  dial.show(plugIn, doing);
  parts.title.textContent = t(`live.${doing}`);
  parts.place.textContent = t("place", { station: plugIn.station_name || plugIn.station, evse: plugIn.evse });
  parts.notice.hidden = !plugIn.event_active;
  parts.notice.textContent = plugIn.event_active ? t("live.event") : "";
  parts.failed.hidden = !plugIn.start_failed;
  parts.failed.textContent = plugIn.start_failed ? t(`start_failed.${plugIn.start_failed}`) : "";
  parts.permission.textContent = t(`permission.${plugIn.permission.state}`);
  parts.permission.className = `permission ${plugIn.permission.state}`;
  const held = plugIn.permission.state === "granted" ? plugIn.permission.conditions : null;
  parts.conditions.textContent = held ? summary(held, state.currency) : "";
  parts.conditions.setAttribute("data-testid", "conditions-held");
  parts.change.textContent = t(plugIn.permission.state === "granted" ? "live.change" : "live.allow");
  parts.facts.replaceChildren(...facts(state).flatMap(([name, value, id]) =>
    [el("div", {}, el("dt", {}, name), el("dd", { testid: id }, value))]));
}

function facts(state) {
  const plugIn = state.plug_in;
  const list = [[t("live.since"), clock(plugIn.plugged_at), "since"]];
  if (plugIn.price_per_kwh !== null) list.unshift([t("live.price"), price(plugIn.price_per_kwh, state.currency), "price"]);
  // Only where it is so now: a discharge was ordered, and the meter shows it.
  if (plugIn.sell_per_kwh && direction(plugIn.power_w) === "giving") list.push([t("live.sell"), price(plugIn.sell_per_kwh, state.currency), "sell"]);
  if (plugIn.participating_since) list.push([t("live.participating"), clock(plugIn.participating_since), "participating"]);
  if (plugIn.permission.departure_at) list.push([t("live.departure"), moment(plugIn.permission.departure_at), "departure"]);
  return list;
}

function ring() {
  const arc = el("circle", { svg: true, cx: 100, cy: 100, r: 84, class: "arc", "stroke-dasharray": ROUND, "stroke-dashoffset": ROUND });
  const power = el("strong", { testid: "power" });
  const soc = el("span", { class: "soc", testid: "soc" });
  const node = el("div", { class: "dial" },
    el("svg", { viewBox: "0 0 200 200", "aria-hidden": "true" },
      el("circle", { svg: true, cx: 100, cy: 100, r: 84, class: "track" }), arc),
    el("div", { class: "inner" }, power, soc));
  return { node, show(plugIn, doing) {
    const percent = plugIn.soc_percent;
    node.className = `dial ${doing}`;
    arc.setAttribute("stroke-dashoffset", ROUND * (1 - (percent ?? 0) / 100));
    const arrow = { charging: "↓ ", giving: "↑ " }[doing] || "";
    power.textContent = plugIn.power_w === null ? "–" : `${arrow}${kw(plugIn.power_w)} kW`;
    soc.textContent = percent === null ? t("live.soc_unknown") : t("live.soc", { percent: Math.round(percent) });
  } };
}

// `why`: what keeps the car at this place from being the reader's, and what to do.
export function idleView(state, place, why) {
  const balance = el("section", { class: "card sums" });
  const view = {
    key: `idle:${place || ""}:${why}`,
    node: el("div", { class: "stack", testid: "idle" },
      el("div", { class: "hero" }, el("h1", { tabindex: -1 }, why ? t("claim.title") : place ? t("idle.plug_in") : t("idle.title", { name: state.user.name })),
        el("p", { class: "place" }, place || t("idle.lead")), why ? el("p", { class: "lead", role: "alert", testid: "claim-refused" }, why) : null), balance),
    update(next) {
      balance.replaceChildren(
        el("h2", {}, t("history.last_30")),
        el("p", { class: "amount", testid: "balance" }, money(next.balance.amount_minor, next.currency)),
        el("p", { class: "muted" }, t("history.sums", { sold: kwh(next.balance.sold_wh), bought: kwh(next.balance.bought_wh) })));
    },
  };
  view.update(state);
  return view;
}
