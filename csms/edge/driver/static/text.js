// Catalogues and formats. The language: what the reader chose here, else the browser's, else English.
const KNOWN = ["en", "ja"];
let words = {};
let fallback = {};
export let language = "en";

export function preferred(userLanguage) {
  const chosen = localStorage.getItem("language");
  const wanted = [chosen, userLanguage, ...navigator.languages].filter(Boolean).map((tag) => tag.slice(0, 2));
  return wanted.find((tag) => KNOWN.includes(tag)) || "en";
}

export async function load(name) {
  if (name === language && words.skip) return;
  fallback = fallback.skip ? fallback : await catalogue("en");
  words = name === "en" ? fallback : await catalogue(name);
  language = name;
  document.documentElement.lang = name;
}

const catalogue = async (name) => (await fetch(`/d/i18n/${name}.json`)).json();

// t("live.giving", {kw: "3.2"}) fills {kw} in the catalogue's text.
export function t(key, values = {}) {
  const text = words[key] ?? fallback[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const number = (value, digits = 1) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
export const kw = (watts) => number(Math.abs(watts) / 1000, 1);
export const kwh = (wattHours) => `${number(wattHours / 1000, wattHours >= 100000 ? 0 : 2)} kWh`;

const digitsOf = (currency) =>
  new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
const asMoney = (amount, currency, extra) =>
  new Intl.NumberFormat(language, { style: "currency", currency, ...extra }).format(amount);

// Minor units to money: 100 JPY is 100, 100 EUR is 1.00.
export const money = (minor, currency) =>
  asMoney((minor || 0) / 10 ** digitsOf(currency), currency, { signDisplay: "auto" });
export const price = (perKwh, currency) =>
  t("per_kwh", { price: asMoney(Number(perKwh), currency, { maximumFractionDigits: 2, minimumFractionDigits: 0 }) });

export const clock = (iso) => new Date(iso).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
export const day = (iso) => new Date(iso).toLocaleDateString(language, { month: "short", day: "numeric" });
export const moment = (iso) => `${day(iso)} ${clock(iso)}`;
export const weekday = (n) =>
  new Intl.DateTimeFormat(language, { weekday: "short" }).format(new Date(2024, 0, 1 + n));
