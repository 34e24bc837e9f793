// The page of the admin port. It asks /api/ring and /api/history again and again and draws the answers
// with draw.js. Names and keys are untrusted: the page only sets them as text.
"use strict";

const TIMEOUT_MS = 8000;
const FILTER_FROM = 13;
const FEW_KEYS = 10;

let last = null;
let window_ms = 600000;
let interval_ms = 5000;
let paused = false;
let failed = null;
let all_keys = false;
let sort = { column: null, descending: true };
/** Points by node, oldest first. */
const series = new Map();
let newest = 0;

const $ = (id) => document.getElementById(id);

// ---- the ring as a picture

function at(angle, radius) {
  const turn = angle * 2 * Math.PI - Math.PI / 2;
  return `${(100 + radius * Math.cos(turn)).toFixed(2)} ${(100 + radius * Math.sin(turn)).toFixed(2)}`;
}

function slice(from, to, inner, outer) {
  if (to - from > 0.99999) {
    const half = (from + to) / 2;
    return slice(from, half, inner, outer) + slice(half, from + 0.99999, inner, outer);
  }
  const large = to - from > 0.5 ? 1 : 0;
  return `M${at(from, outer)}A${outer} ${outer} 0 ${large} 1 ${at(to, outer)}` +
    `L${at(to, inner)}A${inner} ${inner} 0 ${large} 0 ${at(from, inner)}Z`;
}

function picture(data) {
  const owners = data.nodes.filter((node) => node.share !== null);
  const parts = data.ring ? owners : data.nodes.map((node) => ({ ...node, share: 1 }));
  const words = parts.map((node) =>
    `${node.name} owns ${written(percent(node.share))}${node.state === "away" ? " and is away" : ""}`);
  const svg = draw("svg", { viewBox: "0 0 200 200", role: "img", "aria-labelledby": "ring-words", class: parts.length > 30 ? "many" : null },
    draw("title", { id: "ring-words" }, data.ring ? `${words.join("; ")}.` : "One node without a ring owns every key."),
    draw("defs", {},
      draw("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        draw("rect", { class: "hatch-ground", width: 6, height: 6 }),
        draw("line", { class: "hatch-line", x1: 0, y1: 0, x2: 0, y2: 6 }))));
  let from = 0;
  parts.forEach((node, index) => {
    const to = from + node.share;
    const away = node.state === "away";
    if (node.share > 0) {
      const path = draw("path", {
        d: slice(from, to, 64, 96), class: away ? "segment away" : "segment",
        fill: away ? null : color(index), "data-node": node.name,
      }, draw("title", {}, `${node.name}: ${written(percent(node.share))} of the keys${away ? ", away" : ""}`));
      path.addEventListener("pointerenter", () => light(node.name));
      path.addEventListener("pointerleave", () => light(null));
      svg.append(path);
      if (node.share > 0.025) {
        const [x, y] = at((from + to) / 2, 80).split(" ");
        svg.append(draw("text", { class: away ? "mark away" : "mark", x, y }, String(index + 1)));
      }
    }
    from = to;
  });
  if (data.ring) {
    // The points themselves: the owner of each part of the circle, runs drawn as one.
    const circle = data.ring.circle;
    const paths = new Map();
    for (let start = 0; start < circle.length;) {
      let end = start + 1;
      while (end < circle.length && circle[end] === circle[start]) end += 1;
      const piece = slice(start / circle.length, end / circle.length, 54, 60);
      paths.set(circle[start], (paths.get(circle[start]) || "") + piece);
      start = end;
    }
    for (const [owner, d] of paths) {
      const name = data.nodes[owner] ? data.nodes[owner].name : "";
      svg.append(draw("path", { d, fill: color(owner), class: "points", "data-node": name }));
    }
  }
  const up = data.nodes.filter((node) => node.state === "up").length;
  const total = data.nodes.length;
  svg.append(draw("text", { class: "center", x: 100, y: 100 }, up === total ? String(total) : `${up} / ${total}`));
  svg.append(draw("text", { class: "center-small", x: 100, y: 115 },
    `${total === 1 ? "node" : "nodes"}${up === total ? "" : " up"}`));
  $("picture").replaceChildren(svg);
  $("caption").textContent = data.ring
    ? "Outside, each node's part of all keys; inside, where its points lie on the circle. Numbers as in the table."
    : "This node has no ring: it owns every key.";
}

/** Shows one node in the picture and the table, or none. */
function light(name) {
  for (const it of document.querySelectorAll("[data-node]")) {
    const other = name !== null && it.dataset.node !== name;
    if (it.tagName === "TR") it.classList.toggle("lit", name !== null && !other);
    else it.classList.toggle("dim", other);
  }
}

// ---- time series

function learn(history) {
  window_ms = history.window_seconds * 1000;
  interval_ms = history.interval_seconds * 1000;
  const known = new Set();
  for (const node of history.nodes) {
    known.add(node.name);
    const points = series.get(node.name) || [];
    node.at.forEach((at, index) => {
      if (points.length === 0 || at > points[points.length - 1].at) {
        points.push({
          at, requests: node.requests[index], gets: node.gets[index], hit_ratio: node.hit_ratio[index], bytes: node.bytes[index],
          evictions: node.evictions[index], p50: node.p50_us[index], p99: node.p99_us[index],
        });
        newest = Math.max(newest, at);
      }
    });
    while (points.length && points[0].at < history.now - window_ms) points.shift();
    series.set(node.name, points);
  }
  for (const name of series.keys()) if (!known.has(name)) series.delete(name);
}

/** How far back the charts go: as far as there is something to show, but never less than a minute. */
function shown_ms() {
  let oldest = newest;
  for (const points of series.values()) if (points.length) oldest = Math.min(oldest, points[0].at);
  return Math.min(window_ms, Math.max(60000, newest - oldest));
}

function ago(ms) {
  return ms < 120000 ? `−${Math.round(ms / 1000)} s` : `−${Math.round(ms / 60000)} min`;
}

/** One value for the whole ring at every step of the window: [time, value] pairs. */
function whole(combine) {
  const step = interval_ms;
  const end = Math.floor(newest / step) * step;
  const rows = [...series.values()].map((points) => ({ points, next: 0 }));
  const out = [];
  // Without the first step, because not every node has reported all of it.
  for (let time = end - (Math.floor(shown_ms() / step) - 1) * step; time <= end; time += step) {
    const present = [];
    for (const row of rows) {
      while (row.next < row.points.length && row.points[row.next].at <= time) row.next += 1;
      const point = row.points[row.next - 1];
      if (point && point.at > time - 1.6 * step) present.push(point);
    }
    out.push([time, present.length ? combine(present) : null]);
  }
  return out;
}

const sum = (name) => (points) => points.reduce((all, point) => all + point[name], 0);

/** Of all gets; a node's gets have those among them that no owner answered. */
function mean_hits(points) {
  let weight = 0;
  let hits = 0;
  for (const point of points) {
    if (point.hit_ratio === null) continue;
    weight += point.gets;
    hits += point.gets * point.hit_ratio;
  }
  return weight > 0 ? hits / weight : null;
}

function worst(name) {
  return (points) => points.reduce((high, point) => (point[name] === null ? high : Math.max(high ?? 0, point[name])), null);
}

function path_of(pairs, low, high, from, to, width, height) {
  let line = "";
  let area = "";
  let run = [];
  const close = () => {
    if (run.length === 1) run.push([run[0][0] + 0.5, run[0][1]]);
    if (run.length) {
      const text = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      line += `M${text}`;
      area += `M${run[0][0].toFixed(1)} ${height}L${text}L${run[run.length - 1][0].toFixed(1)} ${height}Z`;
    }
    run = [];
  };
  for (const [time, value] of pairs) {
    if (value === null) close();
    else {
      const y = high > low ? height - ((value - low) / (high - low)) * height : height;
      run.push([((time - from) / (to - from)) * width, y]);
    }
  }
  close();
  return { line, area };
}

function bounds(pairs) {
  let high = 0;
  for (const [, value] of pairs) if (value !== null) high = Math.max(high, value);
  return high;
}

const PANELS = [
  { id: "requests", title: "Requests", of: sum("requests"), show: count, per: "/s", now: (data) => total(data, "requests_per_second") },
  { id: "hits", title: "Hit ratio", of: mean_hits, show: percent, top: 1, now: null, say: failed_gets },
  { id: "latency", title: "Latency, 99th percentile", of: worst("p99"), show: latency, now: null, note: "the slowest node's" },
  { id: "memory", title: "Memory", of: sum("bytes"), show: bytes, now: (data) => total(data, "bytes"), max: (data) => total(data, "max_bytes") },
  { id: "evictions", title: "Evictions", of: sum("evictions"), show: count, per: "/s", now: (data) => total(data, "evictions_per_second") },
  { id: "connections", title: "Connections", show: things, now: (data) => total(data, "connections"), max: (data) => total(data, "max_connections") },
];

/** How many of the gets missed because their owners did not answer. */
function failed_gets(data) {
  const failed = total(data, "failed_gets_per_second");
  return failed > 0 ? `${written(count(failed))}/s got no answer from the owner` : "";
}

function total(data, name) {
  let all = null;
  for (const node of data.nodes) if (node[name] !== null && node.state === "up") all = (all ?? 0) + node[name];
  return all;
}

function panels(data) {
  const box = $("panels");
  for (const panel of PANELS) {
    let card = document.getElementById(`panel-${panel.id}`);
    if (!card) {
      card = make("article", { class: "panel", id: `panel-${panel.id}` },
        make("h3", {}, panel.title), make("div", { class: "value" }), make("div", { class: "note" }), make("div", { class: "plot" }));
      box.append(card);
    }
    const pairs = panel.of ? whole(panel.of) : [];
    const latest = pairs.length ? pairs[pairs.length - 1][1] : null;
    const value = panel.now ? panel.now(data) : latest;
    card.querySelector(".value").replaceChildren(...valued(panel.show(value), panel.per || "").filter(Boolean));
    const most = panel.max ? panel.max(data) : null;
    card.querySelector(".note").textContent = most
      ? `${written(percent(value / most))} of ${written(panel.show(most))}` : panel.say ? panel.say(data) : panel.note || "";
    const plot = card.querySelector(".plot");
    if (panel.of) plot.replaceChildren(...chart(panel, pairs));
    else plot.replaceChildren(spread(data));
  }
}

/** A chart of the window with its upper bound and its times. */
function chart(panel, pairs) {
  const [width, height] = [300, 60];
  const high = panel.top ?? (bounds(pairs) * 1.08 || 1);
  const [from, to] = pairs.length ? [pairs[0][0], pairs[pairs.length - 1][0]] : [0, 1];
  const { line, area } = path_of(pairs, 0, high, from, to, width, height);
  const known = pairs.filter(([, value]) => value !== null).map(([, value]) => value);
  const words = known.length
    ? `${panel.title} over the last ${ago(shown_ms()).slice(1)}: from ${written(panel.show(Math.min(...known)))} to ${written(panel.show(Math.max(...known)))}`
    : `${panel.title}: no data yet`;
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    draw("path", { class: "area", d: area }), draw("path", { class: "line", d: line }),
    draw("line", { class: "base", x1: 0, x2: width, y1: height, y2: height }));
  const left = make("span", {}, ago(to - from));
  const middle = make("span", {}, known.length ? `max ${written(panel.show(Math.max(...known)))}${panel.per || ""}` : "");
  const right = make("span", {}, "now");
  const cursor = draw("line", { class: "cursor", y1: 0, y2: height, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const place = svg.getBoundingClientRect();
    const index = Math.round(((event.clientX - place.left) / place.width) * (pairs.length - 1));
    const pair = pairs[Math.min(Math.max(index, 0), pairs.length - 1)];
    if (!pair) return;
    const x = ((pair[0] - from) / (to - from)) * width;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    middle.textContent = `${new Date(pair[0]).toLocaleTimeString()}: ${written(panel.show(pair[1]))}${pair[1] === null ? "" : panel.per || ""}`;
  });
  const before = middle.textContent;
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    middle.textContent = before;
  });
  return [svg, make("div", { class: "axis" }, left, middle, right)];
}

/** How the connections spread over the nodes. */
function spread(data) {
  const nodes = data.nodes.filter((node) => node.state === "up");
  const high = Math.max(1, ...nodes.map((node) => node.connections));
  const words = nodes.map((node) => `${node.name} ${node.connections}`).join(", ");
  const width = 300 / Math.max(1, nodes.length);
  const svg = draw("svg", { class: "chart", viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": `Connections: ${words}` });
  nodes.forEach((node, index) => {
    const height = (node.connections / high) * 56;
    svg.append(draw("rect", {
      x: index * width + width * 0.15, width: width * 0.7, y: 60 - height, height,
      fill: color(data.nodes.indexOf(node)), "data-node": node.name,
    }, draw("title", {}, `${node.name}: ${node.connections}`)));
  });
  svg.append(draw("line", { class: "base", x1: 0, x2: 300, y1: 60, y2: 60 }));
  return svg;
}

function spark(name, what, words) {
  const points = series.get(name) || [];
  const pairs = points.map((point) => [point.at, point[what]]);
  const high = what === "hit_ratio" ? 1 : bounds(pairs) || 1;
  const to = newest || 1;
  const { line } = path_of(pairs, 0, high, to - shown_ms(), to, 80, 20);
  return draw("svg", { class: "spark", viewBox: "0 0 80 20", preserveAspectRatio: "none", role: "img", "aria-label": words },
    draw("path", { class: "line", d: line }));
}

function bar(part) {
  const inner = make("span");
  inner.style.width = `${Math.min(100, Math.max(0, part * 100)).toFixed(1)}%`;
  return make("span", { class: "bar", "aria-hidden": "true" }, inner);
}

// ---- tables

const COLUMNS = [
  { title: "Node", text: true, by: (node) => node.name, cell: who },
  { title: "State", text: true, by: (node) => stands(node) || node.state, cell: state },
  { title: "Owns", by: (node) => node.share, cell: (node) => valued(percent(node.share)) },
  { title: "Requests", by: (node) => node.requests_per_second,
    cell: (node) => pair(spark(node.name, "requests", "requests, last minutes"), valued(count(node.requests_per_second), "/s")) },
  { title: "Hit ratio", by: (node) => node.hit_ratio, cell: (node) => valued(percent(node.hit_ratio)) },
  { title: "Failed", by: (node) => node.failed_per_second, cell: failures },
  { title: "p50", by: (node) => node.p50_us, cell: (node) => valued(latency(node.p50_us)) },
  { title: "p99", by: (node) => node.p99_us,
    cell: (node) => pair(spark(node.name, "p99", "99th percentile of latency, last minutes"), valued(latency(node.p99_us))) },
  { title: "Memory", by: (node) => node.bytes, cell: memory },
  { title: "Items", by: (node) => node.items, cell: (node) => node.state === "up" ? valued(things(node.items)) : [NONE] },
  { title: "Evictions", by: (node) => node.evictions_per_second, cell: (node) => valued(count(node.evictions_per_second), "/s") },
  { title: "Forwards", by: (node) => node.forwarded_per_second, cell: (node) => valued(count(node.forwarded_per_second), "/s") },
  { title: "Conns", by: (node) => node.connections, cell: (node) => node.state === "up" ? [String(node.connections)] : [NONE] },
  { title: "Ring", by: (node) => node.ring_version, cell: ring_of },
  { title: "Up", by: (node) => node.uptime_seconds, cell: up },
];

function memory(node) {
  if (node.state !== "up") return [NONE];
  const part = node.max_bytes > 0 ? node.bytes / node.max_bytes : null;
  const cell = pair(bar(part ?? 0), valued(percent(part)));
  cell[0].classList.add("tight");
  cell[0].title = `${written(bytes(node.bytes))} of ${written(bytes(node.max_bytes))}`;
  return cell;
}

function pair(graphic, words) {
  return [make("span", { class: "pair" }, graphic, make("span", {}, ...words.filter(Boolean)))];
}

function who(node) {
  const index = last.nodes.indexOf(node);
  const owns = last.ring === null || node.share !== null;
  const badge = make("span", { class: owns ? "badge" : "badge none", "aria-hidden": "true" }, owns ? String(index + 1) : NONE);
  if (owns) badge.style.background = color(index);
  const second = [node.address, node.own ? "here" : "", node.weight !== null && node.weight !== 1 ? `weight ${node.weight}` : ""];
  return [make("span", { class: "who" }, badge, make("span", { class: "names" },
    make("strong", {}, node.name), make("small", {}, second.filter(Boolean).join(" · "))))];
}

/** The problem with a node's standing in the ring; empty if there is none. */
function stands(node) {
  if (node.standing === "replaced") return "replaced";
  if (node.disputed_by.length) return "disputed";
  return ["unconfirmed", "absent"].includes(node.standing) ? node.standing : "";
}

function state(node) {
  const wrong = stands(node);
  const mark = { up: "● up", away: "✕ away", unknown: "… asking" }[node.state] || node.state;
  const why = [node.fault, node.standing_reason,
    node.disputed_by.length ? `two processes claim its name, according to ${node.disputed_by.join(", ")}` : ""];
  const title = why.filter(Boolean).join("; ") || null;
  if (!wrong) return [make("span", { class: `state-${node.state}`, title }, mark)];
  if (node.state === "away") return [make("span", { class: "state-away", title }, `${mark}, ${wrong}`)];
  const bad = wrong === "replaced" || wrong === "disputed";
  return [make("span", { class: bad ? "state-away" : "odd", title }, `${bad ? "✕" : "▲"} ${wrong}`)];
}

function failures(node) {
  const cell = valued(count(node.failed_per_second), "/s");
  if (!(node.failed_per_second > 0)) return cell;
  return [make("span", { class: "state-away", title: "requests that no owner answered" }, ...cell.filter(Boolean))];
}

function up(node) {
  if (node.state === "up") return [span(node.uptime_seconds)];
  return [node.state === "away" && node.since ? `gone ${span((last.now - node.since) / 1000)}` : NONE];
}

function ring_of(node) {
  if (node.ring_version === null) return [NONE];
  const odd = last.ring && node.ring_digest !== last.ring.digest;
  const text = node.ring_drift ? `${node.ring_version} ▲` : String(node.ring_version);
  if (node.ring_drift && !odd) return [make("span", { class: "odd", title: node.ring_drift }, text)];
  if (odd) return [make("span", { class: "odd", title: node.ring_digest }, `${text} ≠`)];
  return [node.ring_settled ? text : `${text}, changing`];
}

function nodes(data) {
  const head = $("nodes").tHead;
  if (!head.rows.length) {
    const row = make("tr");
    COLUMNS.forEach((column, index) => {
      const button = make("button", { type: "button" }, column.title);
      button.addEventListener("click", () => {
        const again = sort.column === index;
        sort = again && sort.descending === Boolean(column.text)
          ? { column: null, descending: true } : { column: index, descending: again ? !sort.descending : !column.text };
        nodes(last);
      });
      row.append(make("th", { scope: "col", class: column.text ? "text" : null }, button));
    });
    head.append(row);
  }
  [...head.rows[0].cells].forEach((cell, index) => {
    if (sort.column === index) cell.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  $("filter-label").hidden = data.nodes.length < FILTER_FROM;
  const wanted = $("filter").value.trim().toLowerCase();
  let shown = data.nodes.filter((node) => !wanted || `${node.name} ${node.address} ${node.state}`.toLowerCase().includes(wanted));
  if (sort.column !== null) {
    const by = COLUMNS[sort.column].by;
    const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : (a ?? -1) - (b ?? -1));
    shown = [...shown].sort((a, b) => order(by(a), by(b)) * (sort.descending ? -1 : 1));
  }
  const body = $("nodes").tBodies[0];
  body.replaceChildren(...shown.map((node) => {
    const row = make("tr", { "data-node": node.name });
    for (const column of COLUMNS) {
      row.append(make("td", { class: column.text ? "text" : null, "data-label": column.title },
        make("span", { class: "v" }, ...column.cell(node).filter(Boolean))));
    }
    row.addEventListener("pointerenter", () => light(node.name));
    row.addEventListener("pointerleave", () => light(null));
    return row;
  }));
}

function table(id, titles, rows) {
  const it = $(id);
  it.hidden = rows.length === 0;
  it.tHead.replaceChildren(make("tr", {}, ...titles.map(([title, text]) => make("th", { scope: "col", class: text ? "text" : null }, title))));
  it.tBodies[0].replaceChildren(...rows.map((cells) => make("tr", {}, ...cells.map(([content, kind]) =>
    make("td", { class: kind || null }, ...[content].flat().filter(Boolean))))));
}

function hot(data) {
  const many = data.hot_keys.slice(0, all_keys ? undefined : FEW_KEYS);
  const more = $("hot-more");
  more.hidden = data.hot_keys.length <= FEW_KEYS;
  more.textContent = all_keys ? `Show ${FEW_KEYS}` : `Show all ${data.hot_keys.length}`;
  more.setAttribute("aria-expanded", String(all_keys));
  const titles = [["", true], ["Key", true], ["Owner", true], ["Requests", false], ["Of all", false]];
  table("hot", titles, many.map((key, index) => [
    [String(index + 1), "text quiet"], [key.key, "text key"], [key.owner || NONE, "text"],
    [valued(count(key.rate), "/s")], [key.share === null ? NONE : pair(bar(key.share), valued(percent(key.share)))],
  ]));
  $("hot-none").textContent = many.length ? "Estimated from a sample of all requests."
    : "There is no hot key, or the nodes do not list keys (-X).";
}

function commands(data) {
  const rows = Object.entries(data.latency).sort(([a, one], [b, other]) =>
    (a === "all") - (b === "all") || other.samples - one.samples);
  const titles = [["Command", true], ["p50", false], ["p90", false], ["p99", false], ["p99.9", false], ["Samples", false]];
  table("latency", titles, rows.map(([name, it]) => [
    [name, "text"], [valued(latency(it.p50_us))], [valued(latency(it.p90_us))], [valued(latency(it.p99_us))],
    [valued(latency(it.p999_us))], [valued(things(it.samples))],
  ]));
  $("latency-none").textContent = rows.length ? "Time from reading a request to writing its answer to the socket."
    : "No request was timed in the last minute.";
}

function advice(data) {
  const texts = data.warnings.map((it) => it.text).join("\n");
  const list = $("advice");
  // A screen reader repeats the list only if it changes.
  if (list.dataset.texts === texts) return;
  list.dataset.texts = texts;
  list.replaceChildren(...data.warnings.map((it) => make("li", { class: `advice ${it.level}` },
    make("b", {}, it.level === "error" ? "Error" : "Warning"), it.text)));
}

function show(data) {
  last = data;
  const where = data.ring ? `ring ${data.ring.version}, seen from ${data.node}` : "one node, no ring";
  $("where").textContent = where;
  document.title = data.warnings.some((it) => it.level === "error") ? "(!) Ringbinder" : "Ringbinder";
  $("about").textContent = `ringbinderd ${data.ringbinder_version}, protocol of memcached ${data.protocol_version}` +
    (data.ring ? ` · ring ${data.ring.digest} from ${data.ring.taken_from} · keys of other nodes: ${data.ring.foreign_keys}` : "");
  advice(data);
  picture(data);
  panels(data);
  nodes(data);
  hot(data);
  commands(data);
}

// ---- requests

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

let heard = 0;

async function round() {
  try {
    const [data, history] = await Promise.all([ask("api/ring"), ask(`api/history?since=${newest}`)]);
    learn(history);
    show(data);
    heard = Date.now();
    failed = null;
  } catch (error) {
    failed = failed || Date.now();
  }
  age();
}

function age() {
  const it = $("age");
  it.classList.toggle("stale", failed !== null);
  let text = "live";
  if (failed !== null) text = `no answer from this node since ${new Date(failed).toLocaleTimeString()}`;
  else if (paused) text = `paused at ${new Date(heard).toLocaleTimeString()}`;
  else if (heard) text = `live, every ${Math.round(interval_ms / 1000)} s`;
  if (it.textContent !== text) it.textContent = text;
}

async function go() {
  for (;;) {
    if (!paused && !document.hidden) await round();
    // More often at first: a rate needs two answers.
    const wait = newest === 0 ? 700 : Math.min(interval_ms, 5000);
    await new Promise((done) => setTimeout(done, wait));
  }
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").textContent = paused ? "Resume" : "Pause";
  $("pause").setAttribute("aria-pressed", String(paused));
  age();
});
$("hot-more").addEventListener("click", () => {
  all_keys = !all_keys;
  hot(last);
});
$("filter").addEventListener("input", () => last && nodes(last));
go();
