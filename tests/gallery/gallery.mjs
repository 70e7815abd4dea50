// The gallery as its users see it: GALLERY_URL in Chromium, several users at once. Screenshots go to target/gallery.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { chromium } from "playwright-core";
import postgres from "postgres";

const { GALLERY_URL: url, PUBLISHABLE_KEY: key, DATABASE_URL } = process.env;
const SHOTS = "target/gallery";
/** Longer than anything here takes on a busy machine. */
const PATIENCE = 60_000;
const LIMITS =
  "insert into user_limits (applies_to, max_open, max_per_day, max_cost_per_month) values ('all', 3, 100, 5)";

const sql = postgres(DATABASE_URL, { max: 1 });
// (Root may have no sandbox.)
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  chromiumSandbox: process.getuid() !== 0,
});

/** A user with a browser of their own, signed up. */
async function user(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  /** What Realtime has told, and what REST was asked. */
  const told = [], asked = [], errors = [];
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => told.push(String(payload))));
  page.on("request", (request) => asked.push(`${request.url()} ${request.postData()}`));
  page.on("pageerror", (error) => errors.push(error));
  await page.goto(url);
  await signUp(page, name);
  return { name, page, told, asked, errors };
}

async function signUp(page, name) {
  await page.getByLabel("E-mail").fill(`${name}@app.example`);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Sign up" }).click();
  await page.getByText(`${name}@app.example`).waitFor();
}

/** The card of what was asked for. */
async function ask(page, prompt) {
  await page.getByLabel("What do you want to see?").fill(prompt);
  await page.getByRole("button", { name: "Generate" }).click();
  const card = cardOf(page, prompt);
  await card.waitFor();
  return card;
}

const cardOf = (page, prompt) =>
  page.getByRole("list", { name: "Your pictures" }).getByRole("listitem").filter({ hasText: prompt });

/** Every value that the bar has from now on, until the picture is there or there is none. */
async function values(card) {
  const seen = await card.evaluate(async (item) => {
    const seen = [];
    while (!["completed", "failed", "cancelled"].includes(item.dataset.status)) {
      seen.push(item.querySelector("progress").value);
      await new Promise(requestAnimationFrame);
    }
    return seen;
  });
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b), "the bar has gone back");
  return new Set(seen);
}

async function hasPicture(card, number = 1) {
  const pictures = card.getByRole("img");
  await pictures.nth(number - 1).waitFor();
  for (const picture of await pictures.all()) {
    assert.ok(await picture.evaluate((image) => image.decode().then(() => image.naturalWidth)) > 0);
  }
  assert.equal(await pictures.count(), number);
}

/** The token of the page's user. */
async function tokenOf(page) {
  const { origins } = await page.context().storageState();
  return JSON.parse(origins[0].localStorage[0].value).access_token;
}

/** What a token shows of a table. */
async function rows(token, table) {
  const answer = await fetch(`${url}/rest/v1/${table}`, { headers: { apikey: key, authorization: `Bearer ${token}` } });
  return await answer.json();
}

/** What Realtime answers to who would like to hear what a user is told. */
async function join(page, token, userId) {
  return await page.evaluate(async ([key, access_token, topic]) => {
    const socket = new WebSocket(`/realtime/v1/websocket?apikey=${key}&vsn=1.0.0`);
    const config = { private: true };
    const message = { topic, event: "phx_join", payload: { config, access_token }, ref: "1", join_ref: "1" };
    socket.onopen = () => socket.send(JSON.stringify(message));
    const { data } = await new Promise((resolve) => socket.onmessage = resolve);
    socket.close();
    return JSON.parse(data).payload.status;
  }, [key, token, `realtime:process-jobs:${userId}`]);
}

/** Each sees their own picture come, and nothing of the other's. */
async function twoAtOnce() {
  const users = await Promise.all(["alice", "bob"].map((name) => user(name)));
  await Promise.all(users.map(async ({ name, page }) => {
    await page.getByText("Nothing here yet").waitFor();
    const card = await ask(page, `The garden of ${name}`);
    assert.ok((await values(card)).size > 2, "the bar has hardly moved");
    await hasPicture(card);
    await page.getByText("99 of 100 left in 24 hours").waitFor();
    await page.getByText("3 of 3 free at once").waitFor();
    await page.reload();
    await hasPicture(cardOf(page, `The garden of ${name}`));
  }));
  const ids = await sql`select id, user_id from image_generations where prompt like 'The garden of %' order by prompt`;
  assert.equal(ids.length, 2);
  for (const [at, { name, page, told, asked, errors }] of users.entries()) {
    const [own, others] = at === 0 ? ids : ids.toReversed();
    const other = users[1 - at].name;
    const token = await tokenOf(page);
    assert.deepEqual((await rows(token, "image_generations")).map(({ id }) => id), [own.id], `${name}'s rows`);
    assert.deepEqual((await rows(token, "images")).map((it) => it.generation_id), [own.id], `${name}'s pictures`);
    assert.ok(!(await page.content()).includes(other), `${name} sees ${other}`);
    assert.ok(told.some((frame) => frame.includes(own.id)), "Realtime has told nothing");
    for (const said of [...told, ...asked]) {
      assert.ok(!said.includes(others.id) && !said.includes(other), `${name}: ${said}`);
    }
    assert.deepEqual(await Promise.all([own, others].map((it) => join(page, token, it.user_id))), ["ok", "error"]);
    assert.deepEqual(errors, []);
  }
}

/** A reload in the middle follows on. */
async function reloadedAndCancelled() {
  const { page } = await user("carol");
  const card = await ask(page, "Something slow [hang]");
  await card.getByText("The model is at work").waitFor();
  await page.reload();
  await card.getByText("The model is at work").waitFor();
  await card.getByRole("button", { name: "Cancel" }).click();
  await card.getByText("Cancelled").waitFor();
  await card.getByRole("button", { name: "Try again" }).waitFor();
  const other = await ask(page, "A mountain in the evening");
  await page.reload();
  await hasPicture(other);
}

async function failedAndTriedAgain() {
  const { page } = await user("dave");
  const card = await ask(page, "<b>Flagged once</b> [fail-once:nsfw]");
  await card.getByText("The input or output was flagged as sensitive").waitFor();
  assert.equal(await card.getByRole("img").count(), 0);
  await page.reload();
  await card.getByText("The input or output was flagged as sensitive").waitFor();
  await card.getByRole("button", { name: "Try again" }).click();
  await hasPicture(card);
  assert.equal(await card.locator("b").count(), 0, "a prompt is text");
}

/** More than is allowed at once is refused by a sentence; what ends makes room. */
async function refused() {
  const { page } = await user("frank");
  for (const number of [1, 2, 3]) {
    await ask(page, `Slow number ${number} [hang]`);
  }
  await page.getByText("0 of 3 free at once").waitFor();
  await page.getByLabel("What do you want to see?").fill("One too many");
  await page.getByRole("button", { name: "Generate" }).click();
  await page.getByRole("alert").getByText("3 of your 3 generations at once are under way").waitFor();
  assert.equal(await page.getByLabel("What do you want to see?").inputValue(), "One too many");
  for (const number of [1, 2, 3]) {
    await cardOf(page, `Slow number ${number}`).getByRole("button", { name: "Cancel" }).click();
  }
  await page.getByText("3 of 3 free at once").waitFor();
  await page.getByRole("button", { name: "Generate" }).click();
  await hasPicture(cardOf(page, "One too many"));
}

/** Signed out, nothing of the former user's is shown, told or asked for any more. */
async function signedOut() {
  const { page, asked, told } = await user("grace");
  const card = await ask(page, "Grace's secret [hang]");
  await card.getByText("The model is at work").waitFor();
  const [{ id, user_id: userId }] = await sql`select id, user_id from image_generations where prompt like 'Grace%'`;
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Password").waitFor();
  assert.equal(await page.getByText("Grace").count(), 0);
  await signUp(page, "heidi");
  asked.length = told.length = 0;
  // (While a picture is made, a generation that were followed still would be looked at.)
  const other = await ask(page, "Heidi's own [hang]");
  await other.getByText("The model is at work").waitFor();
  await other.getByRole("button", { name: "Cancel" }).click();
  await other.getByText("Cancelled").waitFor();
  for (const said of [...asked, ...told]) {
    assert.ok(!said.includes(id) && !said.includes(userId), said);
  }
  assert.equal(await page.getByText("Grace").count(), 0);
}

/** The connection of Realtime is lost in the middle, and none is to be had again. */
async function withoutRealtime() {
  const { page, told } = await user("ivan");
  const sockets = [];
  let isOn = true;
  await page.routeWebSocket(/\/realtime\//, (socket) => {
    if (!isOn) return socket.close();
    socket.connectToServer();
    sockets.push(socket);
  });
  await page.reload();
  const slow = await ask(page, "A river [hang]");
  await slow.getByText("The model is at work").waitFor();
  isOn = false;
  await Promise.all(sockets.map((socket) => socket.close()));
  await slow.getByRole("button", { name: "Cancel" }).click();
  await slow.getByText("Cancelled").waitFor();
  told.length = 0;
  const card = await ask(page, "A river without a bridge");
  // It is looked at every two seconds, and moves by its own clock in between.
  assert.ok((await values(card)).size > 10, "the bar has hardly moved");
  await hasPicture(card);
  assert.deepEqual(told, []);
}

/** What a person sees, in light, dark and on a phone; axe finds nothing wrong with it. */
async function looks() {
  const { page } = await user("judy", { colorScheme: "light" });
  const failed = await ask(page, "Something that Replicate flags [fail:nsfw]");
  const fox = await ask(page, "A red fox in the snow");
  await page.getByRole("combobox", { name: "Size" }).selectOption("Wide");
  const harbour = await ask(page, "A harbour at noon, watercolour");
  await failed.getByText("flagged as sensitive").waitFor();
  await Promise.all([fox, harbour].map((card) => hasPicture(card)));
  await page.getByRole("combobox", { name: "Pictures" }).selectOption("4");
  const winds = await ask(page, "The four winds");
  await page.getByRole("combobox", { name: "Pictures" }).selectOption("1");
  const lighthouse = await ask(page, "A lighthouse in the morning mist");
  await hasPicture(winds, 4);
  await hasPicture(lighthouse);
  const last = await ask(page, "A storm over the sea");
  await last.evaluate(async (item) => {
    while (item.dataset.status !== "completed" && item.querySelector("progress").value < 50) {
      await new Promise(requestAnimationFrame);
    }
  });
  await page.screenshot({ path: `${SHOTS}/light.png` });
  await hasPicture(last);
  await accessible(page);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${SHOTS}/dark.png` });
  await accessible(page);
  await page.setViewportSize({ width: 390, height: 844 });
  assert.ok(
    await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
    "a phone has to scroll sideways",
  );
  await page.screenshot({ path: `${SHOTS}/phone.png`, fullPage: true });
  await accessible(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Password").waitFor();
  await page.screenshot({ path: `${SHOTS}/sign_in.png` });
  await accessible(page);
}

async function accessible(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`), []);
}

const AXE = await readFile("node_modules/axe-core/axe.min.js", "utf8");
try {
  const closed = await user("mallory");
  await closed.page.getByText("Requests are not open to you").waitFor();
  await closed.page.getByLabel("What do you want to see?").fill("Anything");
  await closed.page.getByRole("button", { name: "Generate" }).click();
  await closed.page.getByRole("alert").getByText("requests are not open to you").waitFor();
  await sql.unsafe(LIMITS);
  // Then it is known, too, how long the model usually takes.
  await twoAtOnce();
  await Promise.all(
    [reloadedAndCancelled, failedAndTriedAgain, refused, signedOut, withoutRealtime, looks].map((it) => it()),
  );
} finally {
  await browser.close();
  await sql.end();
}
