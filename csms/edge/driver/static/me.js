// What is the user's: vehicles and terminals. P1.
import { el, field, toast } from "./dom.js";
import { call } from "./server.js";
import { day, t } from "./text.js";

const attempt = (work, said) => async (event) => {
  event?.preventDefault();
  try {
    await work();
    if (said) toast(t(said));
  } catch (error) {
    toast(error.status ? error.message : t("offline.not_sent"), true);
  }
};

export function meView(state) {
  const terminals = el("ul", { class: "slots", testid: "terminals" });
  const load = async () => terminals.replaceChildren(...(await call("GET", "terminals")).map((each) => terminalRow(each, load)));
  load().catch(() => {});
  return {
    key: `me:${JSON.stringify(state.vehicles)}`,
    node: el("div", { class: "stack", testid: "me" },
      el("h1", { tabindex: -1 }, t("me.title")),
      el("section", { class: "card form" }, el("h2", {}, t("me.vehicles")),
        el("ul", { class: "slots" }, state.vehicles.map(vehicleRow)), addVehicle(), joinVehicle()),
      el("section", { class: "card form" }, el("h2", {}, t("me.terminals")), terminals, codeMaker("terminals/code", "me.another_phone"))),
    update() {},
  };
}

function vehicleRow(vehicle) {
  const name = el("input", { value: vehicle.name, required: true, maxlength: 80, "aria-label": t("register.vehicle"), disabled: vehicle.shared });
  const path = `vehicles/${encodeURIComponent(vehicle.id)}`;
  const rename = attempt(() => call("PUT", path, { name: name.value }), "conditions.saved");
  return el("li", {}, el("form", { class: "pair", onsubmit: rename }, name,
    vehicle.shared ? null : el("button", { class: "quiet" }, t("me.rename")),
    el("button", { type: "button", class: "quiet", onclick: attempt(() => call("DELETE", path)) }, t("conditions.delete"))),
    vehicle.shared ? el("small", {}, t("me.shared")) : el("div", {}, codeMaker(`${path}/code`, "me.share"), sharers(path)));
}

// Those who use the vehicle besides its owner, who may take it back.
function sharers(path) {
  const list = el("ul", { class: "slots", testid: "sharers" });
  const load = async () => list.replaceChildren(...(await call("GET", `${path}/users`)).map((each) => {
    const gone = attempt(async () => {
      await call("DELETE", `${path}/users/${encodeURIComponent(each.id)}`);
      toast(t("me.sharer_gone", { name: each.name }));
      await load();
    });
    return el("li", {}, el("div", { class: "pair" }, el("span", {}, each.name),
      el("button", { type: "button", class: "quiet", testid: "unshare", onclick: gone }, t("me.revoke"))));
  }));
  load().catch(() => {});
  return list;
}

function addVehicle() {
  const name = el("input", { required: true, maxlength: 80, testid: "new-vehicle" });
  const battery = el("input", { type: "number", required: true, min: 1, max: 1000, step: "any", value: 40, inputmode: "decimal" });
  const add = attempt(() => call("POST", "vehicles", { name: name.value, capacity_wh: Math.round(battery.value * 1000) }), "conditions.saved");
  return el("form", { class: "form", onsubmit: add }, el("div", { class: "pair" }, field(t("register.vehicle"), name), field(t("register.battery"), battery)),
    el("button", { class: "secondary", testid: "add-vehicle" }, t("me.add_vehicle")));
}

function joinVehicle() {
  const code = el("input", { required: true, minlength: 8, maxlength: 12, autocapitalize: "characters" });
  const join = attempt(() => call("POST", "vehicles/join", { code: code.value }), "conditions.saved");
  return el("form", { class: "form", onsubmit: join }, field(t("me.join"), code), el("button", { class: "quiet" }, t("me.join_done")));
}

function terminalRow(terminal, load) {
  const gone = attempt(async () => {
    await call("DELETE", `terminals/${encodeURIComponent(terminal.id)}`);
    await load();
  });
  return el("li", {}, el("div", { class: "pair" },
    el("span", {}, terminal.current ? t("me.this_phone") : terminal.name || t("me.a_phone"), " · ", day(terminal.created_at)),
    el("button", { type: "button", class: "quiet", testid: "revoke", onclick: gone }, t("me.revoke"))));
}

// A button that shows a code once.
function codeMaker(path, label) {
  const shown = el("output", { class: "value", testid: "new-code" });
  const make = attempt(async () => { shown.textContent = t("me.code", { code: (await call("POST", path, {})).code }); });
  return el("div", {}, el("button", { type: "button", class: "quiet", onclick: make, testid: `make-${label}` }, t(label)), shown);
}
