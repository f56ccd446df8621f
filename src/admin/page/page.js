"use strict";

// The page is fetched again after each event, and now and then for what is counted. Each part that differs takes
// the content of the new one; focus, scroll positions and what is unfolded stay.

const PERIOD = 5000;
const DELAY = 150;

const focusable = "a, button, input, select, summary, [tabindex]";

// Where the focus is: the nearest element with an id, and which one in it.
function focusIn(part) {
  const focused = document.activeElement;
  if (!part.contains(focused)) return null;
  const home = focused.closest("[id]");
  return [home.id, home === focused ? -1 : [...home.querySelectorAll(focusable)].indexOf(focused)];
}

function replace(part, fresh) {
  const folds = new Map([...part.querySelectorAll("details")].map((d) => [d.id, d.open]));
  const scrolls = [...part.querySelectorAll(".scroll")].map((s) => [s.id, s.scrollLeft]);
  const focus = focusIn(part);
  part.replaceChildren(...fresh.childNodes);
  for (const details of part.querySelectorAll("details")) {
    if (folds.has(details.id)) details.open = folds.get(details.id);
  }
  for (const [id, left] of scrolls) {
    const scroll = document.getElementById(id);
    if (scroll) scroll.scrollLeft = left;
  }
  if (focus) {
    const home = document.getElementById(focus[0]);
    const focused = focus[1] < 0 ? home : home?.querySelectorAll(focusable)[focus[1]];
    focused?.focus({ preventScroll: true });
  }
}

// Hides the pools that are not asked for; those that the server has left out come with the form.
function filter() {
  const wanted = document.getElementById("filter")?.value.trim().toLowerCase() ?? "";
  for (const pool of document.querySelectorAll("[data-pool]")) {
    pool.hidden = !pool.dataset.pool.toLowerCase().includes(wanted);
  }
}

async function refresh() {
  // Nobody looks, or somebody is about to copy what is there.
  if (document.hidden || getSelection()?.type === "Range") return;
  try {
    const response = await fetch(location.pathname + location.search, { cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other && other.innerHTML !== part.innerHTML) replace(part, other);
    }
    document.title = fresh.title;
    document.getElementById("lost").hidden = true;
    filter();
  } catch {
    document.getElementById("lost").hidden = false;
  }
}

let due = 0;

function refreshSoon() {
  clearTimeout(due);
  due = setTimeout(async () => {
    await refresh();
    due = setTimeout(refreshSoon, PERIOD - DELAY);
  }, DELAY);
}

if (document.querySelector("[data-live]")) {
  document.getElementById("filter")?.addEventListener("input", filter);
  document.addEventListener("visibilitychange", refreshSoon);
  filter();
  refreshSoon();
  // The browser connects again by itself; until then the page is fetched all the same.
  new EventSource("/api/v1/events?follow=1").addEventListener("message", refreshSoon);
}
