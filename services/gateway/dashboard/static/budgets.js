// Budgets with bars: set, raise, remove. The ledger decides who may.

import { call, get } from "./api.js";
import { $, element, notice, usd } from "./page.js";

export async function showBudgets() {
  const { budgets } = await get("/v1/analytics/budgets");
  const busy = document.activeElement?.closest("#budgets li");
  if (busy) return bars(budgets); // someone is typing there: only the bars move
  $("budgets").replaceChildren(...(budgets.length ? budgets.map(item) : [element("li", { textContent: "No budget yet: nothing limits what may be spent." })]));
  left(budgets);
}

function left(budgets) {
  const tightest = budgets.toSorted((one, other) => other.percent - one.percent)[0];
  $("today-left").textContent = tightest ? usd(tightest.remaining) : "no budget";
}

function bars(budgets) {
  for (const budget of budgets) {
    const place = document.querySelector(`#budgets li[data-id="${CSS.escape(budget.id)}"]`);
    place?.querySelector("progress").replaceWith(bar(budget));
    if (place) place.querySelector(".figures").textContent = figures(budget);
  }
  left(budgets);
}

function item(budget) {
  const name = `${budget.scope} ${budget.scope_id}, ${budget.budget_type}`;
  const limit = element("input", { type: "number", min: "0.000001", step: "any", required: true, value: Number(budget.limit), ariaLabel: `New limit of ${name}, in USD` });
  const form = element("form", {}, limit,
    element("button", { type: "submit", textContent: "Change", ariaLabel: `Change the limit of ${name}` }),
    element("button", { type: "button", textContent: "Remove", ariaLabel: `Remove the budget of ${name}`, onclick: () => attempt(() => call("DELETE", `/v1/analytics/budgets/${encodeURIComponent(budget.id)}`), "Budget removed.") }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => set({ ...described(budget), budget_limit: Number(limit.value) }), "Limit changed.");
  });
  const made = element("li", {},
    element("div", {}, element("strong", { textContent: name }), element("span", { className: "figures", textContent: figures(budget) }), form),
    bar(budget));
  made.dataset.id = budget.id;
  return made;
}

function bar(budget) {
  const used = Number(budget.spent) + Number(budget.reserved);
  const className = budget.percent >= 95 ? "full" : budget.percent >= 80 ? "high" : "";
  return element("progress", { max: Number(budget.limit), value: Math.min(used, Number(budget.limit)), className, ariaLabel: `Used of ${budget.scope} ${budget.scope_id}, ${budget.budget_type}: ${budget.percent.toFixed(1)} percent` });
}

const figures = (budget) => `${usd(budget.spent)} of ${usd(budget.limit)} (${budget.percent.toFixed(1)} %), ${usd(budget.reserved)} reserved`
  + (budget.resets_at ? `, resets ${new Date(budget.resets_at).toLocaleString()}` : "");

const described = (budget) => ({
  budget_type: budget.budget_type, scope: budget.scope, scope_id: budget.scope_id,
  alert_thresholds: budget.alert_thresholds, mode: budget.mode, clamp: budget.clamp,
});

const set = (form) => call("POST", "/v1/analytics/budgets", form);

$("budget-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = { budget_type: $("window").value, budget_limit: Number($("limit").value) };
  if ($("scope-id").value || $("scope").value !== "key") Object.assign(form, { scope: $("scope").value, scope_id: $("scope-id").value });
  await attempt(() => set(form), "Budget set.");
});

async function attempt(work, done) {
  $("budget-error").textContent = "";
  try {
    await work();
    document.activeElement?.blur();
    notice(done);
    await showBudgets();
  } catch (error) {
    $("budget-error").textContent = error.message;
  }
}
