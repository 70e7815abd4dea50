// Pictures by the signed-in user's own means: supabase-js, the publishable key and row level security.

import { createClient } from "@supabase/supabase-js";
import { follow, generate, processJobs } from "process-jobs";
import { Card, hasEnded } from "./card.js";

const MODELS = [
  "black-forest-labs/flux-schnell",
  "black-forest-labs/flux-dev",
  "google/imagen-4-fast",
  "bytedance/sdxl-lightning-4step",
];
/** So many generations are shown at once. */
const PAGE = 24;

const part = (id) => document.getElementById(id);
const [notice, signIn, ask, cards] = ["notice", "sign-in", "ask", "cards"].map(part);

const config = await fetch("config.json");
if (!config.ok) notice.textContent = "config.json is missing: it has the url and the publishable key of a project";
const { url, key } = await config.json();
const supabase = createClient(url, key);
const jobs = processJobs(supabase);

/** Of the signed-in user; what is answered to a former one is dropped. */
let visit = null;

// (The client waits for the end of this call, so it is not asked in it.)
supabase.auth.onAuthStateChange((_event, session) => setTimeout(meet, 0, session?.user));

function meet(user) {
  if (visit && user?.id === visit.userId) return;
  for (const run of visit?.runs ?? []) run.return();
  visit = user ? { userId: user.id, runs: new Set(), shown: new Set(), oldest: "infinity" } : null;
  for (const list of [notice, cards, part("limits")]) list.replaceChildren();
  offerModels(MODELS);
  for (const form of [signIn, ask]) form.reset();
  signIn.hidden = Boolean(user);
  part("mine").hidden = part("account").hidden = !user;
  part("empty").hidden = part("older").hidden = true;
  part("user").textContent = user?.email ?? "";
  if (!user) return;
  attempt(showLimits);
  attempt(showOlder);
}

/** Says what is refused. */
async function attempt(action) {
  const here = visit;
  try {
    await action();
  } catch (error) {
    if (here === visit) notice.textContent = error.message;
  }
}

/** What a person has asked for: once, however often they press. */
async function press(button, action) {
  if (button.ariaBusy) return;
  button.ariaBusy = true;
  notice.textContent = "";
  await attempt(action);
  button.ariaBusy = null;
}

signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  const credentials = Object.fromEntries(new FormData(signIn));
  const isNew = event.submitter?.value === "up";
  press(event.submitter, async () => {
    const { data, error } = await supabase.auth[isNew ? "signUp" : "signInWithPassword"](credentials);
    if (error) throw error;
    if (!data.session) notice.textContent = "Now confirm your address: a mail is on its way";
  });
});

part("sign-out").addEventListener("click", () => supabase.auth.signOut({ scope: "local" }));

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  const { prompt, model, size, number } = Object.fromEntries(new FormData(ask));
  const [width, height] = size.split("x").map(Number);
  press(ask.querySelector("button"), async () => {
    const here = visit;
    const run = generate(supabase, { prompt, model_id: model, width, height, num_outputs: Number(number) });
    const id = await run.id;
    if (here !== visit) return;
    part("prompt").value = "";
    const card = add({ id, prompt, model, created_at: new Date() }, "prepend");
    if (card) watch(card, run);
  });
});

// Enter asks, with Shift it is a new line.
part("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask.requestSubmit();
});

part("older").addEventListener("click", () => press(part("older"), showOlder));

/** The card of a generation; none if it has one: what was asked for meanwhile is in the history, too. */
function add(generation, where) {
  if (visit.shown.has(generation.id)) return null;
  visit.shown.add(generation.id);
  const card = new Card(generation);
  cards[where](card.element);
  return card;
}

async function showOlder() {
  const here = visit;
  const { data, error } = await supabase.from("image_generations")
    .select(
      "id, prompt, model, status, progress, error_message, created_at, images(filename, public_url, width, height)",
    )
    .lt("created_at", here.oldest)
    .order("created_at", { ascending: false })
    .order("filename", { referencedTable: "images" })
    .limit(PAGE);
  if (here !== visit) return;
  if (error) throw error;
  for (const generation of data) {
    const card = add(generation, "append");
    if (!card) continue;
    card.show(generation);
    if (hasEnded(generation.status)) offer(card);
    else watch(card, follow(supabase, generation.id));
  }
  here.oldest = data.at(-1)?.created_at;
  part("older").hidden = data.length < PAGE;
  part("empty").hidden = cards.childElementCount > 0;
}

async function watch(card, run) {
  const here = visit;
  here.runs.add(run);
  part("empty").hidden = true;
  card.cancel.onclick = () =>
    press(card.cancel, async () => {
      if (await run.cancel()) card.cancelling();
    });
  attempt(showLimits);
  try {
    for await (const state of run) card.show(state);
  } catch (error) {
    card.say(error.message);
  }
  here.runs.delete(run);
  if (here !== visit) return;
  offer(card);
  attempt(showLimits);
}

/** To ask for it once more, where it has failed or was cancelled. */
function offer(card) {
  card.again.onclick = () =>
    press(card.again, async () => {
      const here = visit;
      if (!await jobs.retryGeneration(card.id) || here !== visit) return;
      card.begin();
      watch(card, follow(supabase, card.id));
    });
}

async function showLimits() {
  const here = visit;
  const look = here.look = Symbol("look");
  const { limits, left, until } = await jobs.myLimits();
  if (here !== visit || look !== here.look) return;
  const closed = ["Requests are not open to you: whoever runs this project opens them with a row in user_limits."];
  part("limits").replaceChildren(...(limits ? sentences(limits, left, until) : closed).map((line) => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  }));
  offerModels(limits?.allowed_models ?? MODELS);
}

/** What has no limit is not spoken of. */
function sentences(limits, left, until) {
  const lines = [];
  if (left.open !== null) lines.push(`${left.open} of ${limits.max_open} free at once`);
  if (left.day !== null) lines.push(`${left.day} of ${limits.max_per_day} left in 24 hours`);
  if (until) lines.push(`the next at ${new Date(until).toLocaleTimeString([], { timeStyle: "short" })}`);
  const dollars = (amount) => `$${amount.toFixed(2)}`;
  if (left.cost !== null) lines.push(`${dollars(left.cost)} of ${dollars(limits.max_cost_per_month)} left this month`);
  return lines;
}

function offerModels(models) {
  const { model } = ask.elements;
  if (String(Array.from(model.options, ({ value }) => value)) === String(models)) return;
  model.replaceChildren(...models.map((name) => new Option(name.split("/").at(-1), name)));
}
