// Measures the round-trip time from a browser to each pool, and sends it to a collector; docs/latency.md says how to
// use it. It loads nothing but one small object of each pool, without cookies, and stores nothing.
"use strict";

(() => {
  const { collector, pools, samples = "5" } = document.currentScript.dataset;
  const SAMPLES = Math.min(Number(samples) || 5, 20);
  const TIMEOUT_MS = 5000;

  // The times of a request come after its response, and not at all if it failed.
  const waiting = new Map();
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      waiting.get(entry.name)?.(entry);
    }
  }).observe({ type: "resource" });

  // One request; its times, if it has any.
  async function request(url) {
    const unique = new URL(url, location.href);
    unique.searchParams.set("n", Math.random().toString(36).slice(2));
    const times = new Promise((resolve) => {
      waiting.set(unique.href, resolve);
      setTimeout(resolve, TIMEOUT_MS, {});
    });
    await fetch(unique, {
      mode: "no-cors",
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return times.finally(() => waiting.delete(unique.href));
  }

  async function measure(url) {
    const times = [];
    // The first request makes the connection, the others use it.
    await request(url);
    for (let n = 0; n < SAMPLES; n += 1) {
      const { connectStart, connectEnd, requestStart, responseStart } = await request(url);
      // All are zero without the header Timing-Allow-Origin. A new connection would count its handshake.
      if (requestStart > 0 && connectStart === connectEnd && responseStart > requestStart) {
        times.push(Math.round((responseStart - requestStart) * 100) / 100);
      }
    }
    return times;
  }

  async function run() {
    const rtt = {};
    // One after the other, so that they do not wait for one another.
    for (const [pool, url] of Object.entries(JSON.parse(pools))) {
      try {
        const times = await measure(url);
        if (times.length > 0) {
          rtt[pool] = times;
        }
      } catch {
        // A pool that cannot be reached has no time.
      }
    }
    if (Object.keys(rtt).length > 0) {
      // As text, so that browsers ask no permission first (CORS).
      navigator.sendBeacon(collector, JSON.stringify({ rtt }));
    }
  }

  // When the page has loaded: it must not wait for this, and its own requests would slow the measurements.
  const start = () => setTimeout(run, 0);
  if (document.readyState === "complete") {
    start();
  } else {
    addEventListener("load", start, { once: true });
  }
})();
