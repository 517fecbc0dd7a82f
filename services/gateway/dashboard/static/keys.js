// Keys, for administrators: make one, see it once, revoke it.

import { call, get } from "./api.js";
import { $, cell, element, fill, notice } from "./page.js";

export async function showKeys() {
  const { keys } = await get("/v1/admin/keys");
  fill("keys", keys.map((key) => element("tr", {},
    cell(key.name || key.id), cell(key.user), cell(key.team), cell(key.prefix), cell(state(key)), action(key))));
}

function state(key) {
  if (key.revoked_at) return "revoked";
  return key.expires_at ? `until ${key.expires_at.slice(0, 10)}` : "active";
}

function action(key) {
  if (key.revoked_at) return cell("");
  const revoke = element("button", { type: "button", textContent: "Revoke", ariaLabel: `Revoke the key ${key.name || key.id}` });
  revoke.addEventListener("click", () => {
    if (revoke.textContent === "Revoke") revoke.textContent = "Really revoke?";
    else attempt(() => call("DELETE", `/v1/admin/keys/${encodeURIComponent(key.id)}`), "Key revoked.");
  });
  return element("td", {}, revoke);
}

$("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = Object.fromEntries(new FormData($("key-form")));
  await attempt(async () => {
    const made = await call("POST", "/v1/admin/keys", form);
    $("secret-text").textContent = made.secret;
    $("secret").hidden = false;
    $("key-form").reset();
  }, "Key created.");
});

$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("secret-text").textContent);
  notice("Copied.");
});

async function attempt(work, done) {
  $("key-error").textContent = "";
  try {
    await work();
    notice(done);
    await showKeys();
  } catch (error) {
    $("key-error").textContent = error.message;
  }
}
