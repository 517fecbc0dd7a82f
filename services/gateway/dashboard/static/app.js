// The page: who is logged in, which parts are shown, and when each is read again.

import { logIn, logOut, resume } from "./api.js";
import { showBudgets } from "./budgets.js";
import { draw, showSpend, showToday } from "./charts.js";
import { showKeys } from "./keys.js";
import { closeLive, openLive } from "./live.js";
import { $, calmly, notice } from "./page.js";
import { showTrials } from "./trials.js";

const THEME = "modelmuxer-theme";

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(THEME, theme);
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  draw();
}

const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
setTheme(localStorage.getItem(THEME) ?? preferred);
$("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));

// What a finished request changes; budgets also move while requests are reserved.
const soon = calmly(() => guarded(async () => { await Promise.all([showToday(), showBudgets()]); }), 1000);
const showPeriod = () => Promise.all([showSpend(), showTrials()]);
const later = calmly(() => guarded(showPeriod), 5000);
let ticking = 0;

async function open(key) {
  $("login").hidden = true;
  $("board").hidden = false;
  $("logout").hidden = false;
  $("who").textContent = `${key.name || key.id}${key.admin ? " · administrator of " + key.org : ""}`;
  for (const part of document.querySelectorAll(".admin")) part.hidden = !key.admin;
  await guarded(async () => {
    await Promise.all([
      openLive(() => { soon(); later(); }), showToday(), showPeriod(), showBudgets(), ...(key.admin ? [showKeys()] : []),
    ]);
  });
  ticking = setInterval(() => guarded(showBudgets), 10_000);
}

function close(words = "") {
  clearInterval(ticking);
  closeLive();
  $("board").hidden = true;
  $("logout").hidden = true;
  $("who").textContent = "";
  $("login").hidden = false;
  $("login-error").textContent = words;
  $("key").focus();
}

async function guarded(work) {
  try {
    await work();
    notice("");
  } catch (error) {
    if (error.status === 401) close(error.message);
    else notice(error.message);
  }
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").textContent = "";
  try {
    const key = await logIn($("key").value);
    $("key").value = "";
    await open(key);
    $("main").focus();
  } catch (error) {
    $("login-error").textContent = error.message;
  }
});

$("logout").addEventListener("click", async () => {
  await logOut().catch(() => {});
  close();
});

for (const id of ["days", "group"]) $(id).addEventListener("change", () => guarded(showPeriod));
$("spend-form").addEventListener("submit", (event) => event.preventDefault());

resume().then(open, () => close());
