// What page.js draws with: elements, numbers for people, colours. Names and keys come from others:
// they are only ever set as text.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const NONE = "–";

/** An element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const it = document.createElement(name);
  return furnish(it, attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

function furnish(it, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) it.setAttribute(name, value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) it.append(child);
  }
  return it;
}

// ---- figures for people

function digits(number, most = 3) {
  const size = Math.abs(number);
  const after = size >= 100 ? 0 : size >= 10 ? Math.min(1, most) : size === 0 ? 0 : Math.min(2, most);
  return number.toFixed(after);
}

/** A number of things, and its unit. */
function things(number) {
  return number !== null && number !== undefined && number < 1e4 ? [number.toLocaleString("en"), ""] : count(number);
}

/** A number and its unit. */
function count(number) {
  if (number === null || number === undefined) return [NONE, ""];
  for (const [from, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(number) >= from) return [digits(number / (from === 1e4 ? 1e3 : from)), unit];
  }
  return [number >= 100 ? Math.round(number).toLocaleString("en") : digits(number, 1), ""];
}

function bytes(number) {
  if (number === null || number === undefined) return [NONE, ""];
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (number >= 1024 && step < units.length - 1) {
    number /= 1024;
    step += 1;
  }
  return [step === 0 ? String(number) : digits(number), units[step]];
}

function latency(us) {
  if (us === null || us === undefined) return [NONE, ""];
  if (us >= 1e6) return [digits(us / 1e6), "s"];
  if (us >= 1e3) return [digits(us / 1e3), "ms"];
  return [digits(us), "µs"];
}

function percent(part) {
  if (part === null || part === undefined) return [NONE, ""];
  const number = part * 100;
  return [number > 99.9 && number < 100 ? ">99.9" : number.toFixed(1), "%"];
}

function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

const written = ([number, unit]) => (unit ? `${number} ${unit}` : number);

function valued([number, unit], more = "") {
  const tail = `${unit}${more}`;
  return [number, number === NONE || tail === "" ? null : make("span", { class: "unit" }, ` ${tail}`)];
}

/** Colours far from each other, dark enough for white text. */
function color(index) {
  const chosen = ["#2f6f9f", "#b06a1f", "#3f7d4d", "#8a4f9e", "#a8434a", "#2b7f86", "#75702a", "#5b5fb0"];
  if (index < chosen.length) return chosen[index];
  return `hsl(${Math.round((index * 137.508) % 360)} 42% ${38 + (index % 3) * 5}%)`;
}
