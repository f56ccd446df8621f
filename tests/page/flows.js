// The status page in a real browser, as its readers use it. tests/integration/page.rs starts the server and this:
//     node flows.js URL TOKEN [FOLDER FOR SCREENSHOTS]
// What only the one who started it can do is asked for on standard output, a line each: `fail POOL`, `recover POOL`.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [url, token, pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

// A page whose every request and complaint is watched.
async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const faults = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) faults.push(`request to ${request.url()}`);
    if (request.url().includes(token)) faults.push("the token is in a URL");
  });
  // A form that is refused is no fault of the page.
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 40\d/.test(message.text())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(url + path, { waitUntil: "load" });
  return { page, end: async () => { await context.close(); assert.deepEqual(faults, []); } };
}

async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const faults = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 200)).join(" | ")}`);
  assert.deepEqual(faults, [], what);
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
}

const pool = (page, name) => page.locator(`#pools tbody[data-pool^="${name} "]`);

const flows = {
  async "the page is accessible in light and dark, on desks and phones"() {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [390, 1280]) {
        const { page, end } = await open("/", { colorScheme, viewport: { width, height: 900 } });
        assert.match(await page.title(), /Meridian/);
        await pool(page, "eu").getByText("IPv4 up").waitFor();
        await page.locator("#world title", { hasText: "France: eu" }).waitFor({ state: "attached" });
        await page.locator("#endpoints-eu summary").click();
        await accessible(page, `${colorScheme} ${width}`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${width}: ${overflow} wider than the window`);
        await picture(page, `page-${colorScheme}-${width}`);
        await end();
      }
    }
  },

  async "it explains"() {
    const { page, end } = await open("/");
    await page.getByLabel("Name", { exact: true }).fill("app.example.com");
    await page.getByLabel(/^Client/).fill("90.63.0.0/24");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("from pool eu").waitFor();
    await accessible(page, "explain");
    await picture(page, "explain");
    await end();
  },

  async "it drains with the right token only, and says before what that moves"() {
    const { page, end } = await open("/");
    await page.getByLabel(/^Take a pool/).selectOption("eu");
    await page.getByRole("button", { name: "See what" }).click();
    await page.getByText(/% of the IPv4 clients of app\.example\.com/).waitFor();
    await accessible(page, "drain");
    await picture(page, "drain");
    await page.getByLabel(/^For how long/).fill("2h");
    await page.getByLabel("Reason").fill("<b>kernel</b> upgrade");
    await page.getByLabel("Token").fill("wrong-token-of-16");
    await page.getByRole("button", { name: "Drain eu" }).click();
    await page.getByText("Nothing has changed").waitFor();
    await accessible(page, "refused");
    assert.equal(await page.getByLabel("Reason").inputValue(), "<b>kernel</b> upgrade");
    assert.equal(await page.getByLabel("Token").inputValue(), "");
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Drain eu" }).click();
    await page.waitForURL(`${url}/#overrides`);
    await page.locator("#overrides").getByText("<b>kernel</b> upgrade").waitFor();
    await pool(page, "eu").getByText("drained").first().waitFor();
    await accessible(page, "drained");
    await page.goto(`${url}/drain?pool=eu`);
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Clear" }).click();
    await page.locator("#overrides").getByText("None: probes alone decide.").waitFor();
    await end();
  },

  async "it follows what happens, and leaves alone what the reader does"() {
    const { page, end } = await open("/");
    const filter = page.getByLabel("Only pools with");
    await page.locator("#endpoints-jp summary").click();
    await filter.fill("jp");
    assert.equal(await pool(page, "us").isVisible(), false);
    console.log("fail jp");
    await pool(page, "jp").getByText("IPv4 down").waitFor();
    await page.getByText(/1 of 4 pools down: jp/).waitFor();
    assert.match(await page.title(), /^\(1 down\)/);
    assert.equal(await filter.inputValue(), "jp");
    assert.ok(await filter.evaluate((element) => element === document.activeElement));
    assert.equal(await pool(page, "us").isVisible(), false);
    assert.ok(await page.locator("#endpoints-jp").evaluate((element) => element.open));
    await accessible(page, "down");
    await picture(page, "down");
    // By keyboard: what is focused in a part that is replaced keeps the focus.
    await page.locator("#endpoints-jp summary").focus();
    console.log("recover jp");
    await pool(page, "jp").getByText("IPv4 up").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.closest("[id]").id), "endpoints-jp");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#endpoints-jp").evaluate((element) => element.open), false);
    await end();
  },

  async "it works without scripts"() {
    const { page, end } = await open("/", { javaScriptEnabled: false });
    await page.getByLabel("Only pools with").fill("br");
    await page.getByRole("button", { name: "Filter" }).click();
    await pool(page, "br").waitFor();
    assert.equal(await pool(page, "us").count(), 0);
    await page.goto(url);
    await page.getByLabel("Name", { exact: true }).fill("app.example.com");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("Candidates").or(page.getByText("from pool")).first().waitFor();
    await page.goto(url);
    await page.getByLabel(/^Take a pool/).selectOption("br");
    await page.getByRole("button", { name: "See what" }).click();
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Drain br" }).click();
    await pool(page, "br").getByText("drained").first().waitFor();
    await page.goto(`${url}/drain?pool=br`);
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByText("None: probes alone decide.").waitFor();
    await end();
  },
};

for (const [name, flow] of Object.entries(flows)) {
  try {
    await flow();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
    break;
  }
}
await browser.close();
