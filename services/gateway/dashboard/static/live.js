// The table of requests: the last hundred at first, then each one as it finishes.

import { get, zone } from "./api.js";
import { $, cell, element, usd } from "./page.js";

const KEPT = 200;
let rows = [];
let paused = false;
let source = null;

export async function openLive(onRequest) {
  const found = await get("/v1/analytics/requests", { days: "1", limit: "100", tz: zone });
  rows = found.rows;
  show();
  source = new EventSource("/dashboard/events");
  source.onopen = () => state("live");
  source.onerror = () => state("reconnecting");
  source.addEventListener("request", (event) => {
    add(JSON.parse(event.data));
    onRequest();
  });
}

export function closeLive() {
  source?.close();
  source = null;
}

for (const id of ["filter", "outcome"]) $(id).addEventListener("input", () => show());
$("live-filter").addEventListener("submit", (event) => event.preventDefault());
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Resume" : "Pause";
  state(paused ? "paused" : "live");
  show();
});

function add(row) {
  rows = [row, ...rows.filter((other) => other.id !== row.id)].slice(0, KEPT);
  if (!paused) show(row.id);
}

function show(fresh = "") {
  const words = $("filter").value.toLowerCase();
  const outcome = $("outcome").value;
  const wanted = rows.filter((row) => (!outcome || row.outcome === outcome) && (!words || text(row).includes(words)));
  const made = wanted.map((row) => line(row, row.id === fresh));
  const none = element("tr", {}, element("td", { colSpan: 10, textContent: "no request yet" }));
  document.querySelector("#live tbody").replaceChildren(...(made.length ? made : [none]));
}

const who = (row) => row.user || row.key_name || row.key_id;
const text = (row) => [who(row), row.team, row.run, row.asked, row.model, row.reason, row.label, row.error, row.request_id].join(" ").toLowerCase();

function line(row, isNew) {
  const input = row.tokens.input + row.tokens.cache_read + row.tokens.cache_write_5m + row.tokens.cache_write_1h;
  const cached = row.outcome === "cached" ? "hit" : input ? `${Math.round((100 * row.tokens.cache_read) / input)} %` : "";
  const good = row.outcome === "ok" || row.outcome === "cached";
  const masked = Object.entries(row.pii).map(([kind, count]) => `${kind} ${count}`).join(", ");
  const why = row.reason + (row.confidence && !row.reason.includes("confidence") ? ` (${row.confidence.toFixed(2)})` : "");
  return element("tr", { className: isNew ? "new" : "", title: row.request_id },
    cell(new Date(row.at).toLocaleTimeString()),
    cell(who(row)),
    cell(`${row.asked} → ${row.model || "nobody"}${row.simulated ? " (simulated)" : ""}`),
    cell(why, "long"),
    cell(usd(row.cost) + (row.unpriced ? " ?" : ""), "number"),
    cell(usd(row.saved), Number(row.saved) < 0 ? "number bad" : "number good"),
    cell(cached, "number"),
    cell(masked),
    cell(row.seconds.toFixed(2), "number"),
    cell(good ? row.outcome : `${row.outcome} ${row.status} ${row.error}`, good ? "" : "bad"));
}

function state(word) {
  $("live-state").textContent = word;
}
