// The question at plug-in: may the aggregator charge and discharge this vehicle? P3, P4.
import { el, field, toast } from "./dom.js";
import { call } from "./server.js";
import { chosenOf, conditionsForm, patternChips, summary } from "./conditions.js";
import { t } from "./text.js";

export function questionView(state, onAnswered) {
  const plugIn = state.plug_in;
  const start = plugIn.permission.conditions || state.conditions;
  let form = conditionsForm(start, state.currency);
  const holder = el("div", {}, form.node);
  const says = el("p", { class: "summary", "aria-live": "polite", testid: "conditions-summary" });
  const describe = () => { says.textContent = summary(form.read(), state.currency); };
  let picked = plugIn.permission.pattern || (plugIn.permission.conditions ? null : chosenOf(state.patterns));
  let before = JSON.stringify(form.read());
  const pick = (pattern) => {
    picked = pattern.name;
    form = conditionsForm(pattern.conditions, state.currency);
    before = JSON.stringify(form.read());
    holder.replaceChildren(form.node);
    describe();
  };
  holder.addEventListener("input", describe);
  holder.addEventListener("click", () => setTimeout(describe));
  describe();
  const left = el("p", { class: "left", testid: "time-left" });
  const extra = extras(state);
  // A pattern that was not adjusted goes by its name; what was typed without one is kept as "mine".
  const said = () => {
    const conditions = form.read();
    const named = picked && picked !== "mine" ? { pattern: picked } : {};
    const changed = JSON.stringify(conditions) !== before || !picked || picked === "mine";
    return { ...extra.read(), ...named, ...(changed ? { conditions } : {}) };
  };
  const buttons = answerButtons(plugIn, said, onAnswered, extra.read);
  return {
    key: `question:${plugIn.id}`,
    node: el("div", { class: "stack question", testid: "question" },
      el("div", { class: "hero" }, carArt(),
        el("h1", { tabindex: -1 }, t("question.title")),
        el("p", { class: "place" }, t("place", { station: plugIn.station_name || plugIn.station, evse: plugIn.evse }))),
      el("p", { class: "lead" }, t("question.ask")),
      patternChips(t("question.patterns"), state.patterns.filter((pattern) => !pattern.vehicle || pattern.vehicle === plugIn.vehicle), picked, pick),
      extra.node,
      el("details", { class: "card", testid: "adjust" }, el("summary", {}, t("question.adjust")), holder),
      el("div", { class: "answers" }, says, el("div", { class: "pair" }, buttons), left)),
    tick: () => showTimeLeft(left, plugIn.permission),
    update() {},
  };
}

// The vehicle, where the user has several, and its charge, where the station tells none.
function extras(state) {
  const plugIn = state.plug_in;
  const vehicle = el("select", { testid: "which-vehicle" }, state.vehicles.map((each) => el("option", { value: each.id }, each.name)));
  vehicle.value = plugIn.vehicle ?? "";
  const soc = el("input", { type: "number", inputmode: "numeric", min: 0, max: 100, step: "any", placeholder: "–", value: plugIn.stated_soc_percent ?? "", testid: "stated-soc" });
  const parts = [];
  if (state.vehicles.length > 1) parts.push(field(t("question.vehicle"), vehicle));
  if (plugIn.soc_percent === null) parts.push(field(t("question.soc"), soc, t("question.soc_hint")));
  const node = parts.length ? el("section", { class: "card form" }, parts) : null;
  return { node, read: () => ({
    ...(state.vehicles.length > 1 && vehicle.value ? { vehicle: vehicle.value } : {}),
    ...(soc.value === "" ? {} : { stated_soc_percent: Number(soc.value) }),
  }) };
}

function answerButtons(plugIn, said, onAnswered, also) {
  const send = async (granted) => {
    buttons.forEach((button) => { button.disabled = true; });
    try {
      const body = granted ? { granted, ...said() } : { granted, ...also() };
      await call("POST", `plug-ins/${encodeURIComponent(plugIn.id)}/answer`, body);
      onAnswered();
    } catch (error) {
      toast(error.status ? error.message : t("offline.not_sent"), true);
      buttons.forEach((button) => { button.disabled = false; });
    }
  };
  const buttons = [
    el("button", { class: "primary big", testid: "answer-yes", onclick: () => send(true) }, t("question.yes")),
    el("button", { class: "secondary big", testid: "answer-no", onclick: () => send(false) }, t("question.no")),
  ];
  return buttons;
}

function showTimeLeft(node, permission) {
  if (permission.state !== "asked" || !permission.expires_at) {
    node.textContent = "";
    return;
  }
  const seconds = Math.max(0, Math.round((new Date(permission.expires_at) - Date.now()) / 1000));
  const text = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  node.textContent = t("question.left", { time: text });
}

function carArt() {
  const path = (d, cls) => el("path", { svg: true, d, class: cls });
  return el("svg", { viewBox: "0 0 120 64", class: "car", "aria-hidden": "true" },
    path("M14 44c0-8 4-10 12-12l10-12c3-3 6-4 10-4h20c5 0 8 1 12 5l10 10c10 1 16 4 16 13", "line"),
    path("M14 44h12m16 0h34m16 0h12", "line"),
    el("circle", { svg: true, cx: 34, cy: 45, r: 8, class: "line" }),
    el("circle", { svg: true, cx: 84, cy: 45, r: 8, class: "line" }),
    path("M62 22l-9 11h8l-4 9 10-12h-8z", "bolt"));
}
