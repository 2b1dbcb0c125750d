// Builds elements. Text only ever goes in as text, so nothing that people wrote can become markup.
export function el(tag, props = {}, ...children) {
  const node = tag === "svg" || props.svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProp(node, name, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function setProp(node, name, value) {
  if (value === null || value === undefined || value === false || name === "svg") return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "testid") node.setAttribute("data-testid", value);
  else if (["value", "checked", "disabled", "open"].includes(name)) node[name] = value;
  else node.setAttribute(name, value === true ? "" : value);
}

export const $ = (selector, root = document) => root.querySelector(selector);

let toastTimer = 0;
export function toast(text, bad = false) {
  const node = $("#toast");
  node.textContent = text;
  node.className = bad ? "toast on bad" : "toast on";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.className = "toast"; }, 3500);
}

// A labelled field. `hint` is read with it.
export function field(label, input, hint = "") {
  const id = input.id || (input.id = `f${field.next++}`);
  const note = hint ? el("small", { id: `${id}-hint` }, hint) : null;
  if (note) input.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: id }, label), input, note);
}
field.next = 1;

export function switchRow(label, input, hint = "") {
  input.type = "checkbox";
  input.setAttribute("role", "switch");
  return el("label", { class: "switch" },
    el("span", {}, label, hint ? el("small", {}, hint) : null), input);
}
