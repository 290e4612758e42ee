// The page in a real browser, by keys alone: the flood is found, its reason read, it is acknowledged and noted, and the shift handed over; a stream
// that breaks is taken up; a silent gauge is shown as silent. axe-core looks at each page; pictures go to a folder.
//
//   node run.mjs SERVICE TOKEN FOLDER [silent: SERVICE of a silent gauge]

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [, , service, token, folder, silent] = process.argv;
mkdirSync(folder, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
let passed = 0, failed = 0;

async function test(name, body, options = {}) {
  // The policy of the page forbids foreign scripts; axe is one, so it alone passes it by.
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", bypassCSP: options.axe ?? false, ...options.context });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => message.type() === "error" && !/Failed to load resource|net::ERR/.test(message.text()) && wrong.push(message.text()));
  try {
    await body(page, context);
    assert.deepEqual(wrong, [], "errors of the page");
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    const seen = await page.textContent("main").catch(() => "nothing");
    console.log(`FAILED  ${name}\n${error.stack}\nErrors of the page: ${wrong.join("; ") || "none"}. It shows: ${seen.slice(0, 2_000)}`);
    await page.screenshot({ path: `${folder}/failed-${failed}.png`, fullPage: true }).catch(() => {});
  }
  await context.close();
}

const shown = (page) => page.waitForSelector("main .list [data-id] svg.row-chart");
const chart = (page) => page.waitForSelector("svg.hydrograph .median");

async function serious(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter((violation) => ["serious", "critical"].includes(violation.impact)).map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.target).join("; ")}`);
}

await test("at three in the morning, by keys alone", async (page) => {
  await page.goto(service);
  await shown(page);
  assert.match(await page.textContent("h1"), /Cance at Sarras: .*chance of 300.*most likely/);
  const first = await page.textContent(".list [data-id]");
  assert.match(first, /Warning/);
  assert.match(first, /points|no change/);
  assert.match(first, /gauge read .* expected/);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await chart(page);
  assert.match(page.url(), /#\/station\/V3524010/);
  assert.match(await page.textContent(".sub"), /Now .*Peak/);
  await page.keyboard.press("t");
  assert.equal(await page.locator("#table[open] tbody tr").count(), 24);
  await page.keyboard.press("t");
  await page.keyboard.press("[");
  await page.waitForFunction(() => /as issued then/.test(document.getElementById("issue").textContent));
  await page.keyboard.press("]");
  await page.keyboard.press("Escape");
  await shown(page);
  await page.keyboard.press("e");
  await page.waitForSelector("#why .split .sum");
  const why = await page.textContent("#why");
  assert.match(why, /Why it changed since .*chance of 300.*median at/);
  assert.match(why, /gauge/);
  assert.match(why, /read .* expected/);
  await page.keyboard.press("e");
  await page.waitForFunction(() => !document.getElementById("why"));
  await page.keyboard.press("a");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#field-by");
  await page.keyboard.type("Ada");
  await page.keyboard.press("Tab");
  await page.keyboard.type("gate 3 is shut");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /acknowledged/.test(document.getElementById("said").textContent));
  await page.keyboard.press("n");
  await page.waitForSelector("#field-note");
  await page.keyboard.press("Tab");
  await page.keyboard.type("called the mayor");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /written/.test(document.getElementById("said").textContent));
  await page.keyboard.press("h");
  await page.waitForFunction(() => /alert.* stand/.test(document.querySelector("h1")?.textContent || ""));
  assert.match(await page.textContent("main"), /Cance at Sarras/);
});

await test("a stream that breaks is taken up behind what was heard", async (page) => {
  const asked = [];
  page.on("request", (request) => request.url().includes("/api/v1/events?") && asked.push(request.headers()["last-event-id"] ?? null));
  let broken = false;
  await page.route("**/api/v1/events?*", async (route) => {
    if (!broken) return route.fulfill({ contentType: "text/event-stream", body: "event: forecast\nid: f0:3,a0:2,d0:-1,m0:0\ndata: {}\n\n" }).then(() => { broken = true; });
    return route.continue();
  });
  await page.goto(service);
  await shown(page);
  await page.waitForFunction(() => document.getElementById("live").textContent === "Live", null, { timeout: 15_000 });
  await page.waitForTimeout(1_500);
  assert.equal(asked[0], null);
  assert.equal(asked[1], "f0:3,a0:2,d0:-1,m0:0");
});

await test("other rain is tried, and what each issue said of one hour is read", async (page) => {
  await page.goto(service);
  await shown(page);
  await page.keyboard.press("j");
  await page.keyboard.press("w");
  await page.waitForSelector("#field-factor");
  await page.keyboard.press("Enter");
  await page.waitForSelector("svg.hydrograph .other");
  assert.match(page.url(), /#\/station\/V3524010/);
  assert.match(await page.textContent(".what-if"), /What if: rain ahead × 1.5.*Highest median .* → .*major flood .* → .*Not published/);
  await page.screenshot({ path: `${folder}/what-if.png`, fullPage: true });
  await page.click(".what-if button");
  await page.waitForFunction(() => !document.querySelector(".what-if"));
  await page.keyboard.press("w");
  await page.fill("#field-factor", "1");
  await page.fill("#field-rain", "a 20");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("dialog .problem")?.textContent);
  await page.keyboard.press("Escape");
  await page.keyboard.press("v");
  await page.waitForSelector("#foresight[open] svg .median");
  const hour = await page.textContent("#foresight strong");
  await page.click("#foresight button");
  await page.waitForFunction((before) => document.querySelector("#foresight strong").textContent !== before, hour);
  await page.screenshot({ path: `${folder}/foresight.png`, fullPage: true });
});

await test("units, zones, the dark and the search", async (page) => {
  await page.goto(`${service}#/station/V3524010`);
  await chart(page);
  const local = await page.textContent("#issue");
  await page.keyboard.press("z");
  await page.waitForFunction((before) => document.getElementById("issue").textContent !== before, local);
  assert.match(await page.textContent("#issue"), /UTC/);
  await page.keyboard.press("u");
  await page.waitForFunction(() => /ft³\/s/.test(document.querySelector("h1").textContent));
  await page.keyboard.press("d");
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  await page.keyboard.press("Escape");
  await shown(page);
  await page.keyboard.press("/");
  await page.keyboard.type("V35170");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash.includes("V3517010"));
});

for (const [name, hash, ready] of [["watch", "", shown], ["station", "#/station/V3524010", chart], ["handover", "#/handover", null], ["models", "#/models", null], ["map", "#/map", null], ["drought", "#/drought", null]]) {
  for (const scheme of ["light", "dark"]) {
    await test(`nothing serious on the page ${name}, ${scheme}`, async (page) => {
      await page.goto(service + hash);
      await (ready ? ready(page) : page.waitForSelector("main h1"));
      if (name === "station") {
        await page.keyboard.press("e");
        await page.keyboard.press("v");
        await page.waitForSelector("#why .split .sum");
        await page.waitForSelector("#foresight[open] svg .median");
      }
      assert.deepEqual(await serious(page), []);
    }, { axe: true, context: { colorScheme: scheme } });
  }
}

if (silent) {
  await test("a silent gauge says since when and what it costs", async (page) => {
    await page.goto(`${silent}#/station/V3524010`);
    await chart(page);
    assert.match(await page.textContent("main"), /No reading since .*The forecast goes on from rain alone.*90 % band.*Silence never clears a warning/);
    assert.equal(await page.locator("svg.hydrograph .hatched").count(), 1);
    await page.screenshot({ path: `${folder}/silent.png`, fullPage: true });
    await page.keyboard.press("Escape");
    await shown(page);
    await page.screenshot({ path: `${folder}/silent-watch.png`, fullPage: true });
  });
}

// Pictures, to be looked at.
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
for (const [name, hash, ready] of [["watch", "", shown], ["station", "#/station/V3524010", chart]]) {
  await test(`pictures of ${name}`, async (page, context) => {
    await page.goto(service + hash);
    await ready(page);
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
    const tools = await context.newCDPSession(page);
    for (const type of ["deuteranopia", "protanopia", "tritanopia"]) {
      await tools.send("Emulation.setEmulatedVisionDeficiency", { type });
      await page.screenshot({ path: `${folder}/${name}-${type}.png`, fullPage: true });
    }
    await tools.send("Emulation.setEmulatedVisionDeficiency", { type: "none" });
    await page.emulateMedia({ media: "print" });
    await page.screenshot({ path: `${folder}/${name}-print.png`, fullPage: true });
  });
  for (const [kind, context] of [["dark", { colorScheme: "dark" }], ["phone", phone], ["wall", { viewport: { width: 2560, height: 1440 } }]]) {
    await test(`picture of ${name}, ${kind}`, async (page) => {
      await page.goto(service + hash);
      await ready(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 1, `the page is ${wide} px wider than the window`);
      await page.screenshot({ path: `${folder}/${name}-${kind}.png`, fullPage: true });
    }, { context });
  }
}

await test("the first view on a slow phone has few bytes", async (page, context) => {
  const tools = await context.newCDPSession(page);
  // A phone on 4G, with a quarter of this machine's speed.
  await tools.send("Network.enable");
  await tools.send("Network.emulateNetworkConditions", { offline: false, latency: 60, downloadThroughput: 1.2e6, uploadThroughput: 0.5e6 });
  await tools.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  const begun = Date.now();
  await page.goto(service, { waitUntil: "commit" });
  await page.waitForSelector("main .list [data-id]");
  const took = Date.now() - begun;
  const bytes = await page.evaluate(() => performance.getEntriesByType("resource").filter((entry) => !entry.name.includes("/api/")).reduce((sum, entry) => sum + entry.encodedBodySize, 0));
  console.log(`        the list stands after ${took} ms; the page has ${(bytes / 1024).toFixed(0)} KiB of files`);
  assert.ok(bytes < 150 * 1024, `${bytes} bytes`);
}, { context: phone });

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
