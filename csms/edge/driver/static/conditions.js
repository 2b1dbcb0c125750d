// The conditions: the form (also within the question) and their own screen. P5-P10.
import { el, field, switchRow, toast } from "./dom.js";
import { call } from "./server.js";
import { t, price, weekday } from "./text.js";

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

// {node, read()} - read() gives what the server takes.
export function conditionsForm(conditions, currency) {
  const inputs = {
    soc: el("input", { type: "range", min: 0, max: 100, step: 5, value: conditions.required_soc_percent, testid: "required-soc" }),
    depart: el("input", { type: "time", value: conditions.depart_at || "", testid: "depart-at" }),
    entrust: el("input", { checked: conditions.entrust, testid: "entrust" }),
    discharge: el("input", { checked: conditions.discharge, testid: "discharge" }),
    charge: el("input", { checked: conditions.charge, testid: "charge" }),
    sell: priceInput(conditions.min_sell_per_kwh, "min-sell"),
    buy: priceInput(conditions.max_buy_per_kwh, "max-buy"),
  };
  const prices = el("div", { class: "pair" },
    field(t("conditions.min_sell", { currency }), inputs.sell, t("conditions.min_sell_hint")),
    field(t("conditions.max_buy", { currency }), inputs.buy, t("conditions.max_buy_hint")));
  const showPrices = () => { prices.hidden = inputs.entrust.checked; };
  inputs.entrust.addEventListener("change", showPrices);
  showPrices();
  const slots = slotList(conditions.slots);
  const node = el("div", { class: "form" },
    socField(inputs.soc),
    field(t("conditions.depart"), inputs.depart, t("conditions.depart_hint")),
    switchRow(t("conditions.entrust"), inputs.entrust, t("conditions.entrust_hint")),
    prices,
    switchRow(t("conditions.discharge"), inputs.discharge),
    switchRow(t("conditions.charge"), inputs.charge),
    slots.node);
  return { node, read: () => read(inputs, slots) };
}

const priceInput = (value, testid) =>
  el("input", { type: "number", inputmode: "decimal", step: "any", min: 0, max: 100000, value: value ?? "", placeholder: "–", testid });

function socField(input) {
  const output = el("output", { class: "value" });
  const show = () => { output.textContent = `${input.value} %`; input.setAttribute("aria-valuetext", output.textContent); };
  input.addEventListener("input", show);
  show();
  return el("div", { class: "slider" }, field(t("conditions.required"), input, t("conditions.required_hint")), output);
}

function read(inputs, slots) {
  return {
    required_soc_percent: Number(inputs.soc.value),
    depart_at: inputs.depart.value || null,
    zone: zone(),
    entrust: inputs.entrust.checked,
    discharge: inputs.discharge.checked,
    charge: inputs.charge.checked,
    min_sell_per_kwh: inputs.entrust.checked ? null : inputs.sell.value || null,
    max_buy_per_kwh: inputs.entrust.checked ? null : inputs.buy.value || null,
    slots: slots.read(),
  };
}

function slotList(slots) {
  const list = el("ul", { class: "slots" });
  const add = (slot) => list.append(slotRow(slot));
  slots.forEach(add);
  const button = el("button", { type: "button", class: "quiet add", testid: "add-slot",
    onclick: () => add({ start: "18:00", end: "07:00", days: [0, 1, 2, 3, 4], once: null, zone: zone() }) },
  `+ ${t("conditions.add_slot")}`);
  const node = el("fieldset", {}, el("legend", {}, t("conditions.slots")),
    el("small", {}, t("conditions.slots_hint")), list, button);
  return { node, read: () => [...list.children].map((row) => row.read()) };
}

function slotRow(slot) {
  const start = el("input", { type: "time", value: slot.start, required: true, "aria-label": t("conditions.from") });
  const end = el("input", { type: "time", value: slot.end, required: true, "aria-label": t("conditions.to") });
  const days = [0, 1, 2, 3, 4, 5, 6].map((n) => el("input", { type: "checkbox", value: n, checked: slot.days.includes(n) }));
  const row = el("li", {},
    el("div", { class: "times" }, start, el("span", { "aria-hidden": "true" }, "–"), end,
      el("button", { type: "button", class: "quiet remove", "aria-label": t("conditions.remove_slot"), onclick: () => row.remove() }, "×")),
    slot.once ? el("small", {}, slot.once)
      : el("div", { class: "days" }, days.map((box) => el("label", {}, box, el("span", {}, weekday(Number(box.value)))))));
  row.read = () => ({
    start: start.value, end: end.value, once: slot.once, zone: slot.zone,
    days: slot.once ? slot.days : days.filter((box) => box.checked).map((box) => Number(box.value)),
  });
  return row;
}

// One line that says what the conditions mean.
export function summary(conditions, currency) {
  const parts = [conditions.depart_at
    ? t("summary.required_by", { soc: conditions.required_soc_percent, time: conditions.depart_at })
    : t("summary.required", { soc: conditions.required_soc_percent })];
  if (conditions.entrust) parts.push(t("summary.entrust"));
  if (conditions.min_sell_per_kwh !== null) parts.push(t("summary.sell", { price: price(conditions.min_sell_per_kwh, currency) }));
  if (conditions.max_buy_per_kwh !== null) parts.push(t("summary.buy", { price: price(conditions.max_buy_per_kwh, currency) }));
  if (!conditions.discharge) parts.push(t("summary.no_discharge"));
  if (conditions.slots.length) parts.push(t("summary.slots", { n: conditions.slots.length }));
  return parts.join(" · ");
}

export const patternName = (pattern) => {
  const key = `pattern.${pattern.name}`;
  return t(key) === key ? pattern.name : t(key);
};

// Radio chips: `onPick(conditions)` with what the pattern holds.
export function patternChips(title, patterns, chosen, onPick) {
  const chips = patterns.map((pattern) => {
    const input = el("input", { type: "radio", name: "pattern", checked: pattern.name === chosen,
      testid: `pattern-${pattern.name}`, onchange: () => onPick(pattern.conditions) });
    return el("label", { class: "chip" }, input, el("span", {}, patternName(pattern)));
  });
  return el("fieldset", { class: "chips" }, el("legend", {}, title), chips);
}

export function conditionsView(state) {
  let form = conditionsForm(state.conditions, state.currency);
  const holder = el("div", {}, form.node);
  const pick = (conditions) => {
    form = conditionsForm(conditions, state.currency);
    holder.replaceChildren(form.node);
  };
  const save = async (event) => {
    event.preventDefault();
    try {
      await call("PUT", "conditions", form.read());
      toast(t("conditions.saved"));
    } catch (error) {
      toast(error.status ? error.message : t("offline.not_sent"), true);
    }
  };
  return {
    key: "conditions",
    node: el("form", { class: "stack", onsubmit: save },
      el("h1", { tabindex: -1 }, t("conditions.title")),
      el("p", { class: "lead" }, t("conditions.lead")),
      patternChips(t("conditions.patterns"), state.patterns, state.conditions_saved ? "mine" : null, pick),
      el("section", { class: "card" }, holder),
      el("button", { class: "primary", testid: "save-conditions" }, t("conditions.save"))),
    update() {},
  };
}
