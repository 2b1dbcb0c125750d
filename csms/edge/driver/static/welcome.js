// A phone nobody knows: one form behind the EVSE's link. P1.
import { el, field, toast } from "./dom.js";
import { call } from "./server.js";
import { t, language } from "./text.js";

export function strangerView(onDone) {
  return {
    key: "stranger",
    node: el("div", { class: "stack", testid: "stranger" }, el("div", { class: "hero" },
      el("h1", { tabindex: -1 }, t("stranger.title")), el("p", { class: "lead" }, t("stranger.lead"))), codeForm(onDone)),
    update() {},
  };
}

// A further phone of somebody who is known: the code that another one shows.
function codeForm(onDone) {
  const code = el("input", { required: true, minlength: 8, maxlength: 12, autocomplete: "one-time-code", autocapitalize: "characters", testid: "code" });
  const send = async (event) => {
    event.preventDefault();
    try {
      await call("POST", "terminals", { code: code.value, name: "" });
      onDone();
    } catch (error) {
      toast(error.status ? error.message : t("offline.not_sent"), true);
    }
  };
  return el("form", { class: "card form", onsubmit: send },
    field(t("stranger.code"), code, t("stranger.code_hint")),
    el("button", { class: "secondary", testid: "link-terminal" }, t("stranger.link")));
}

export function badLinkView(message) {
  return {
    key: "bad-link",
    node: el("div", { class: "stack", testid: "bad-link", role: "alert" }, el("div", { class: "hero" },
      el("h1", { tabindex: -1 }, t("bad_link.title")), el("p", { class: "lead" }, message || t("bad_link.lead")))),
    update() {},
  };
}

export function registerView(link, evse, onDone) {
  const name = el("input", { required: true, maxlength: 80, autocomplete: "name", testid: "name" });
  const vehicle = el("input", { required: true, maxlength: 80, testid: "vehicle", placeholder: t("register.vehicle_example") });
  const battery = el("input", { type: "number", required: true, min: 1, max: 1000, step: "any", value: 40, inputmode: "decimal", testid: "battery" });
  const power = el("input", { type: "number", required: true, min: 0, max: 1000, step: "any", value: 6, inputmode: "decimal", testid: "discharge-kw" });
  const button = el("button", { class: "primary big", testid: "register" }, t("register.done"));
  const send = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await call("POST", "register", body(link, name, vehicle, battery, power));
      onDone();
    } catch (error) {
      toast(error.status ? error.message : t("offline.not_sent"), true);
      button.disabled = false;
    }
  };
  return {
    key: "register",
    node: el("form", { class: "stack", onsubmit: send, testid: "register-form" },
      el("div", { class: "hero" }, el("p", { class: "place", testid: "evse" }, t("place", evse)),
        el("h1", { tabindex: -1 }, t("register.title")),
        el("p", { class: "lead" }, t(evse.plugged ? "register.plugged" : "register.not_plugged"))),
      el("section", { class: "card form" }, field(t("register.name"), name), field(t("register.vehicle"), vehicle),
        el("div", { class: "pair" }, field(t("register.battery"), battery), field(t("register.power"), power))),
      button, el("p", { class: "muted" }, t(evse.private ? "register.private" : "register.note"))),
    update() {},
  };
}

function body(link, name, vehicle, battery, power) {
  return {
    link, name: name.value, language,
    vehicle: {
      name: vehicle.value,
      capacity_wh: Math.round(battery.value * 1000),
      max_discharge_w: Math.round(power.value * 1000),
    },
  };
}
