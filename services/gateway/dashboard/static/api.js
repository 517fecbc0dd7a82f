// The gateway's JSON routes, with the session's cookie and, where something changes, its token.

let csrf = "";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (method !== "GET") headers["x-modelmuxer-csrf"] = csrf;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, "The gateway does not answer.");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, found?.error?.message ?? `HTTP ${answer.status}`);
  return found;
}

export const get = (path, query = {}) => {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  return call("GET", given.size ? `${path}?${given}` : path);
};

export async function logIn(key) {
  return kept(await call("POST", "/dashboard/login", { key }));
}

export async function resume() {
  return kept(await call("GET", "/dashboard/session"));
}

export async function logOut() {
  await call("POST", "/dashboard/logout");
  csrf = "";
}

function kept(session) {
  csrf = session.csrf;
  return session.key;
}

// The time zone of whoever looks: days are theirs.
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
