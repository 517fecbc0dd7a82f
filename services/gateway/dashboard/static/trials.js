// A scorer on trial beside the current one; shown only where there is one.

import { get, zone } from "./api.js";
import { $, cell, element, fill, percent, usd } from "./page.js";

export async function showTrials() {
  const { rows } = await get("/v1/analytics/trials", { days: $("days").value, tz: zone });
  $("trials-box").hidden = rows.length === 0;
  fill("trials", rows.map((row) => element("tr", {},
    cell(row.scorer, "long"), cell(row.arm === "trial" ? "on trial" : "current"),
    ...[String(row.keys), String(row.decisions), percent(row.agreed_percent), usd(row.would_save),
      usd(row.cost), usd(row.saved), String(row.errors), String(row.refusals),
      row.feedback_score === null ? "–" : row.feedback_score.toFixed(2)].map((text) => cell(text, "number")))));
}
