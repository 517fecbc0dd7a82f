// Spend and savings: two charts, and the tables that say the same in numbers.

import { get, zone } from "./api.js";
import { $, cell, element, fill, percent, usd } from "./page.js";

const charts = new Map();
let last = null;

export async function showSpend() {
  const query = { days: $("days").value, group_by: $("group").value, tz: zone };
  const [costs, savings] = await Promise.all([
    get("/v1/analytics/costs", query), get("/v1/analytics/savings", query),
  ]);
  last = { costs, savings };
  $("csv").href = `/v1/analytics/costs?${new URLSearchParams({ ...query, format: "csv" })}`;
  const change = costs.previous.change_percent;
  $("trend").textContent = `Spent ${usd(costs.total_cost)}, saved ${usd(costs.saved)} (${percent(costs.saved_percent)}); `
    + (change === null ? "nothing was spent in the period before." : `${change >= 0 ? "+" : "−"}${Math.abs(change)} % against the period before (${usd(costs.previous.total_cost)}).`);
  tables(costs, savings);
  draw();
}

export async function showToday() {
  const costs = await get("/v1/analytics/costs", { days: "1", tz: zone });
  $("today-cost").textContent = usd(costs.total_cost);
  $("today-saved").textContent = usd(costs.saved);
  $("today-requests").textContent = String(costs.requests);
  $("today-cache").textContent = percent(100 * costs.cache_share);
  $("simulated").hidden = costs.simulated === 0;
}

export function draw() {
  if (!last) return;
  chart("spend-chart", last.costs.series.map((row) => [row.day, row.cost]), "Spent", "--bar", true);
  chart("saved-chart", last.savings.series.map((row) => [row.day, row.saved_so_far]), "Saved so far", "--saved", false);
}

function tables(costs, savings) {
  const by = costs.group_by;
  const name = (row) => (by === "key" ? row.key_name || row.key : row[by]) || "(none)";
  fill("groups", costs.groups.slice(0, 50).map((row) => element("tr", {},
    cell(name(row), "long"), cell(usd(row.cost), "number"), cell(usd(row.saved), "number"), cell(String(row.requests), "number"))));
  fill("per-day", [...savings.series].reverse().map((row) => element("tr", {},
    cell(row.day), cell(usd(row.cost), "number"), cell(usd(row.saved), "number"), cell(usd(row.saved_so_far), "number"))));
}

function chart(id, points, label, color, bars) {
  const place = $(id);
  charts.get(id)?.destroy();
  const css = getComputedStyle(document.documentElement);
  const [line, text, grid] = [color, "--soft", "--line"].map((name) => css.getPropertyValue(name).trim());
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
  // Days are drawn at their date's midnight in UTC, wherever whoever looks is.
  const shift = new Date().getTimezoneOffset() * 60;
  const [from, to] = [last.costs.from, last.costs.to].map((time) => Date.parse(time) / 1000 - shift);
  const day = 86400;
  const half = day / 2;
  const known = new Map(points.map(([date, amount]) => [Date.parse(`${date}T00:00:00Z`) / 1000, Number(amount)]));
  const days = [];
  const amounts = [];
  for (let at = Math.round(from / day) * day; at < to - half; at += day) {
    days.push(at);
    amounts.push(known.get(at) ?? (bars ? 0 : amounts.at(-1) ?? 0));
  }
  const options = {
    width: Math.max(place.clientWidth, 240), height: 220,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { range: () => [from - half, to - half] } },
    axes: [axis, { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => `$${Number(tick.toFixed(6))}`) }],
    series: [
      { label: "Day", value: (_, seconds) => (seconds ? new Date(seconds * 1000).toISOString().slice(0, 10) : "–") },
      { label, stroke: line, fill: bars ? line : undefined, width: 2, points: { show: false }, paths: bars ? uPlot.paths.bars({ size: [0.7, 60] }) : undefined,
        value: (_, amount) => (amount === null ? "–" : usd(amount)) },
    ],
  };
  charts.set(id, new uPlot(options, [days, amounts], place));
}

new ResizeObserver(() => {
  for (const [id, made] of charts) made.setSize({ width: Math.max($(id).clientWidth, 240), height: 220 });
}).observe(document.body);
