// Small things every part of the page uses: elements, texts, tables. Text only ever enters the
// page as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const cell = (text, className = "") => element("td", { textContent: text, className });

export function fill(tableId, rows) {
  const empty = element("tr", {}, element("td", { textContent: "nothing yet", colSpan: 20 }));
  document.querySelector(`#${tableId} tbody`).replaceChildren(...(rows.length ? rows : [empty]));
}

// Money arrives as decimal text and is shown as such: two places from a cent up, six below.
export function usd(text) {
  const amount = Number(text);
  const size = Math.abs(amount);
  const places = size === 0 || size >= 0.01 ? 2 : 6;
  return `${amount < 0 ? "−" : ""}$${size.toFixed(places)}`;
}

export const percent = (value) => (value === null ? "–" : `${value.toFixed(1)} %`);

export function notice(text) {
  $("notice").textContent = text;
}

// At most one run per `wait` milliseconds, the last call always served.
export function calmly(work, wait) {
  let timer = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => { timer = 0; work(); }, wait);
  };
}
