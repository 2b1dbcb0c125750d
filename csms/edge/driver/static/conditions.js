// The conditions: the form (also within the question) and their own screen. P5-P10.
import { el, field, switchRow, toast } from "./dom.js";
import { call } from "./server.js";
import { t, price, weekday } from "./text.js";

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

// {node, read()} - read() gives what the server takes.
export function conditionsForm(conditions, currency) {
  const inputs = {
    soc: el("input", { type: "range", min: 0, max: 100, step: 5, value: conditions.required_soc_percent, testid: "required-soc" }),
    kwh: el("input", { type: "number", inputmode: "decimal", step: "any", min: 0, max: 1000, value: conditions.required_kwh ?? "", placeholder: "–", testid: "required-kwh" }),
    depart: el("input", { type: "time", value: conditions.depart_at || "", testid: "depart-at" }),
    entrust: el("input", { checked: conditions.entrust, testid: "entrust" }),
    discharge: el("input", { checked: conditions.discharge, testid: "discharge" }),
    charge: el("input", { checked: conditions.charge, testid: "charge" }),
    sell: priceInput(conditions.min_sell_per_kwh, "min-sell"),
    buy: priceInput(conditions.max_buy_per_kwh, "max-buy"),
    incentive: priceInput(conditions.min_incentive_per_kwh, "min-incentive"),
  };
  const prices = el("div", { class: "pair" },
    field(t("conditions.min_sell", { currency }), inputs.sell, t("conditions.min_sell_hint")),
    field(t("conditions.max_buy", { currency }), inputs.buy, t("conditions.max_buy_hint")),
    field(t("conditions.min_incentive", { currency }), inputs.incentive, t("conditions.min_incentive_hint")));
  const showPrices = () => { prices.hidden = inputs.entrust.checked; };
  inputs.entrust.addEventListener("change", showPrices);
  showPrices();
  const slots = slotList(conditions.slots);
  const node = el("div", { class: "form" },
    socField(inputs.soc),
    field(t("conditions.required_kwh"), inputs.kwh, t("conditions.required_kwh_hint")),
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
    required_kwh: inputs.kwh.value || null,
    depart_at: inputs.depart.value || null,
    zone: zone(),
    entrust: inputs.entrust.checked,
    discharge: inputs.discharge.checked,
    charge: inputs.charge.checked,
    min_sell_per_kwh: inputs.entrust.checked ? null : inputs.sell.value || null,
    max_buy_per_kwh: inputs.entrust.checked ? null : inputs.buy.value || null,
    min_incentive_per_kwh: inputs.entrust.checked ? null : inputs.incentive.value || null,
    slots: slots.read(),
  };
}

function slotList(slots) {
  const list = el("ul", { class: "slots" });
  const add = (slot) => list.append(slotRow(slot));
  slots.forEach(add);
  const button = el("button", { type: "button", class: "quiet add", testid: "add-slot",
    onclick: () => add({ start: "18:00", end: "07:00", days: [0, 1, 2, 3, 4], once: null, mode: "conditions", zone: zone() }) },
  `+ ${t("conditions.add_slot")}`);
  const node = el("fieldset", {}, el("legend", {}, t("conditions.slots")),
    el("small", {}, t("conditions.slots_hint")), list, button);
  return { node, read: () => [...list.children].map((row) => row.read()) };
}

function slotRow(slot) {
  const start = el("input", { type: "time", value: slot.start, required: true, "aria-label": t("conditions.from") });
  const end = el("input", { type: "time", value: slot.end, required: true, "aria-label": t("conditions.to") });
  const mode = el("select", { "aria-label": t("conditions.mode"), testid: "slot-mode" },
    ["conditions", "entrust", "charge_only"].map((name) => el("option", { value: name }, t(`mode.${name}`))));
  mode.value = slot.mode || "conditions";
  const once = el("input", { type: "date", value: slot.once || "", testid: "slot-once", "aria-label": t("conditions.once") });
  const days = [0, 1, 2, 3, 4, 5, 6].map((n) => el("input", { type: "checkbox", value: n, checked: slot.days.includes(n) }));
  const weekly = el("div", { class: "days" }, days.map((box) => el("label", {}, box, el("span", {}, weekday(Number(box.value))))));
  const row = el("li", {},
    el("div", { class: "times" }, start, el("span", { "aria-hidden": "true" }, "–"), end,
      el("button", { type: "button", class: "quiet remove", "aria-label": t("conditions.remove_slot"), onclick: () => row.remove() }, "×")),
    weekly, field(t("conditions.once"), once), field(t("conditions.mode"), mode));
  const showDays = () => { weekly.hidden = once.value !== ""; };
  once.addEventListener("change", showDays);
  showDays();
  row.read = () => ({
    start: start.value, end: end.value, once: once.value || null, zone: slot.zone, mode: mode.value,
    days: once.value ? slot.days : days.filter((box) => box.checked).map((box) => Number(box.value)),
  });
  return row;
}

// One line that says what the conditions mean.
export function summary(conditions, currency) {
  const least = conditions.required_kwh === null ? `${conditions.required_soc_percent} %` : `+${Number(conditions.required_kwh)} kWh`;
  const parts = [conditions.depart_at
    ? t("summary.required_by", { least, time: conditions.depart_at }) : t("summary.required", { least })];
  if (conditions.entrust) parts.push(t("summary.entrust"));
  if (conditions.min_sell_per_kwh !== null) parts.push(t("summary.sell", { price: price(conditions.min_sell_per_kwh, currency) }));
  if (conditions.max_buy_per_kwh !== null) parts.push(t("summary.buy", { price: price(conditions.max_buy_per_kwh, currency) }));
  if ((conditions.min_incentive_per_kwh ?? null) !== null) parts.push(t("summary.incentive", { price: price(conditions.min_incentive_per_kwh, currency) }));
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
      testid: `pattern-${pattern.name}`, onchange: () => onPick(pattern) });
    return el("label", { class: "chip" }, input, el("span", {}, patternName(pattern)));
  });
  return el("fieldset", { class: "chips" }, el("legend", {}, title), chips);
}

// The pattern that is used at the next plug-in of any vehicle.
export const chosenOf = (patterns) => (patterns.find((pattern) => pattern.chosen && !pattern.vehicle)
  || patterns.find((pattern) => pattern.name === "mine" && !pattern.vehicle))?.name ?? null;

export function conditionsView(state, onSaved) {
  const currency = state.currency;
  let picked = state.patterns.find((pattern) => pattern.name === chosenOf(state.patterns));
  let form = conditionsForm(state.conditions, currency);
  const holder = el("div", {}, form.node);
  const name = el("input", { maxlength: 80, testid: "pattern-name", placeholder: t("conditions.name_example") });
  const pick = (pattern) => {
    picked = pattern;
    form = conditionsForm(pattern.conditions, currency);
    holder.replaceChildren(form.node);
    showButtons();
  };
  const act = (request, said) => async (event) => {
    event?.preventDefault();
    try {
      await request();
      toast(t(said));
      await onSaved();
    } catch (error) {
      toast(error.status ? error.message : t("offline.not_sent"), true);
    }
  };
  const path = (pattern) => `patterns/${encodeURIComponent(pattern)}`;
  const save = act(() => call("PUT", "conditions", form.read()), "conditions.saved");
  const saveAs = act(() => call("PUT", path(name.value.trim()), { conditions: form.read() }), "conditions.saved");
  const use = el("button", { type: "button", class: "secondary", testid: "choose-pattern",
    onclick: act(() => call("POST", `${path(picked.name)}/choose`, {}), "conditions.chosen") }, t("conditions.choose"));
  const remove = el("button", { type: "button", class: "quiet", testid: "delete-pattern",
    onclick: act(() => call("DELETE", path(picked.name)), "conditions.deleted") }, t("conditions.delete"));
  const showButtons = () => {
    use.hidden = !picked || picked.name === chosenOf(state.patterns);
    remove.hidden = !picked || picked.prepared || picked.name === "mine";
  };
  showButtons();
  return {
    key: `conditions:${JSON.stringify(state.patterns)}`,
    node: el("form", { class: "stack", onsubmit: save },
      el("h1", { tabindex: -1 }, t("conditions.title")),
      el("p", { class: "lead" }, t("conditions.lead")),
      patternChips(t("conditions.patterns"), state.patterns.filter((pattern) => !pattern.vehicle), picked?.name ?? null, pick),
      el("div", { class: "pair" }, use, remove),
      el("section", { class: "card" }, holder),
      el("button", { class: "primary", testid: "save-conditions" }, t("conditions.save")),
      el("section", { class: "card form" }, field(t("conditions.name"), name),
        el("button", { type: "button", class: "secondary", testid: "save-as", onclick: saveAs }, t("conditions.save_as")))),
    update() {},
  };
}
