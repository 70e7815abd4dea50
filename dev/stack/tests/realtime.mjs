// The stand-in of Realtime beside the official client. Says on standard output what it wants done, a line each, and goes on
// with a line of standard input. URL, KEY, SECRET_KEY and, for two users each, TOKENS and TOPICS are in its environment.

import { deepStrictEqual as same, match, strictEqual as equal } from "node:assert";
import { stdin } from "node:process";
import { createInterface } from "node:readline/promises";
import { createClient } from "@supabase/supabase-js";

const { URL: url, KEY, SECRET_KEY, TOKENS, TOPICS } = Deno.env.toObject();
const [ann, ben] = JSON.parse(TOKENS);
const [ANN, BEN] = JSON.parse(TOPICS);
const lines = createInterface({ input: stdin })[Symbol.asyncIterator]();

async function want(what) {
  console.log(what);
  return (await lines.next()).value;
}

function client(token, vsn = "2.0.0") {
  return createClient(url, KEY, { accessToken: token && (() => Promise.resolve(token)), realtime: { vsn } });
}

/** A channel, what it has heard, and what has become of it. */
async function join(supabase, topic, options = { private: true }) {
  await supabase.realtime.setAuth();
  const channel = supabase.channel(topic, { config: options });
  const joined = { channel, heard: [], became: [], waits: [] };
  const changed = () => joined.waits.splice(0).forEach((wake) => wake());
  channel
    .on("broadcast", { event: "generation" }, (message) => {
      joined.heard.push(message);
      changed();
    })
    .on("system", {}, ({ message }) => joined.became.push(message))
    .subscribe((status, error) => {
      joined.became.push(error ? `${status}: ${error.message}` : status);
      changed();
    });
  return joined;
}

async function until(joined, holds) {
  const patience = setTimeout(() => {
    throw new Error(`in vain: ${holds}, ${joined.became}, ${JSON.stringify(joined.heard)}`);
  }, 60_000);
  while (!holds(joined)) await new Promise((wake) => joined.waits.push(wake));
  clearTimeout(patience);
}

const joins = (times) => ({ became }) => became.filter((it) => it === "SUBSCRIBED").length === times;
const admin = createClient(url, SECRET_KEY);
const say = async (topic, ...messages) => {
  const { error } = await admin.rpc("say", { p_topic: topic, p_messages: messages });
  return error?.message;
};
const payloads = ({ heard }) => heard.map((message) => message.payload.n);

// Each hears what is said on the own topic, in the order in which it was said, and nothing that was rolled back.
const [anns, bens] = [await join(client(ann), ANN), await join(client(ben, "1.0.0"), BEN)];
await Promise.all([until(anns, joins(1)), until(bens, joins(1))]);
for (let n = 0; n < 20; n += 2) await say(ANN, { n }, { n: n + 1 });
equal(await say(ANN, { n: 99 }, "take it back"), "taken back");
await want("send and delete");
await say(BEN, { n: 100 });
await say(ANN, { n: 20 });
await until(anns, ({ heard }) => heard.length >= 21);
await until(bens, ({ heard }) => heard.length >= 1);
same(payloads(anns), Array.from({ length: 21 }, (_, n) => n));
same(payloads(bens), [100]);
const { type, event, payload, meta } = anns.heard[0];
same({ type, event, payload: { n: payload.n }, ids: payload.id === meta.id }, {
  type: "broadcast",
  event: "generation",
  payload: { n: 0 },
  ids: true,
});

// Nobody else's topic, and none without a user.
const unauthorized = `Unauthorized: You do not have permissions to read from this Channel topic: ${ANN}`;
for (
  const [token, refusal] of [
    [ben, unauthorized],
    [undefined, unauthorized],
    [`${ann.slice(0, -4)}AAAA`, "JwtSignatureError: Failed to validate JWT signature"],
    ["nonsense", "MalformedJWT: The token provided is not a valid JWT"],
  ]
) {
  const other = client(token);
  const refused = await join(other, ANN);
  await until(refused, ({ became }) => became.length > 0);
  equal(refused.became[0], `CHANNEL_ERROR: ${refusal}`);
  await other.removeAllChannels();
}
// Who has the secret key may listen anywhere.
await until(await join(admin, ANN), joins(1));
// What is private is not told in public.
const open = client();
const publicly = await join(open, ANN, { private: false });
await until(publicly, joins(1));
await say(ANN, { n: 21 });
await until(anns, ({ heard }) => heard.length >= 22);
same(publicly.heard, []);
const changes = open.channel("changes").on(
  "postgres_changes",
  { event: "*", schema: "public", table: "images" },
  () => {},
);
const told = new Promise((resolve) => changes.subscribe((status, error) => resolve(`${status}: ${error?.message}`)));
match(await told, /tells no changes of tables/);
await open.removeAllChannels();

// A connection that is lost is found again by the client; what was said meanwhile is not.
await want("lose");
await until(anns, ({ became }) => became.at(-1) !== "SUBSCRIBED");
await say(ANN, { n: 22 });
await want("find");
await until(anns, joins(2));
await say(ANN, { n: 23 });
await until(anns, ({ heard }) => heard.length >= 23);
equal(payloads(anns).at(-1), 23);

// A token that runs out closes its channel, and says so.
const shorts = await join(client(await want("a token for three seconds")), ANN);
await until(shorts, ({ became }) => became.includes("CLOSED"));
same([shorts.became.length, shorts.became[0], shorts.became[2]], [3, "SUBSCRIBED", "CLOSED"], `${shorts.became}`);
match(shorts.became[1], /^Token has expired /);

// One that has left hears no more, and may come again.
await anns.channel.unsubscribe();
await say(ANN, { n: 24 });
const again = await join(client(ann), ANN);
await until(again, joins(1));
await say(ANN, { n: 25 });
// (The one before may be on its way still when the channel is joined.)
await until(again, () => payloads(again).at(-1) === 25);
equal(payloads(anns).at(-1), 23);
// Each message is as the original's, of both versions: [join_ref, ref, topic, event, payload].
const topic = `realtime:${ANN}`;
const ok = (response) => ({ status: "ok", response });
const refused = (reason) => ({ status: "error", response: { reason } });
const own = { config: { private: true }, access_token: ann };
const broadcast = { type: "broadcast", event: "generation", payload: { n: 26, id: "ID" }, meta: { id: "ID" } };
const bytes = `\x04\x3a\x0a\x2d\x01${topic}generation{"id":"ID"}{"n": 26, "id": "ID"}`;
const conversation = [
  [[null, "1", "phoenix", "heartbeat", {}], [null, "1", "phoenix", "phx_reply", ok({})]],
  [["2", "2", topic, "phx_join", own], ["2", "2", topic, "phx_reply", ok({ postgres_changes: [] })]],
  [() => say(ANN, { n: 26 }), [null, null, topic, "broadcast", broadcast]],
  [["nonsense"]],
  [["2", "3", topic, "presence", { event: "track" }], [
    "2",
    "3",
    topic,
    "phx_reply",
    refused("this stand-in has no presence"),
  ]],
  [
    ["4", "4", topic, "phx_join", own],
    ["4", "4", topic, "phx_reply", ok({ postgres_changes: [] })],
    ["2", "2", topic, "phx_close", {}],
  ],
  [["2", "5", topic, "phx_leave", {}]],
  [
    ["4", "6", topic, "phx_leave", {}],
    ["4", "6", topic, "phx_reply", ok({})],
    ["4", "4", topic, "phx_close", {}],
  ],
  [["4", "7", topic, "phx_leave", {}], ["4", "7", topic, "phx_reply", ok({})]],
  [["4", "8", topic, "access_token", {}], [null, "8", topic, "phx_reply", refused("unmatched topic")]],
  [["9", "9", "elsewhere", "phx_join", own], [null, "9", "elsewhere", "phx_reply", refused("unmatched topic")]],
  [["9", "9", "realtime:", "phx_join", own], [
    "9",
    "9",
    "realtime:",
    "phx_reply",
    refused("TopicNameRequired: You must provide a topic name"),
  ]],
  [["9", "9", topic, "phx_join", own], ["9", "9", topic, "phx_reply", ok({ postgres_changes: [] })]],
  [
    ["9", "10", topic, "access_token", { access_token: ben }],
    ["9", null, topic, "system", {
      extension: "system",
      status: "error",
      message: unauthorized.replace("Unauthorized: ", ""),
      channel: ANN,
    }],
    ["9", "9", topic, "phx_close", {}],
  ],
];
for (const vsn of ["1.0.0", "2.0.0"]) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/realtime/v1/websocket?apikey=${KEY}&vsn=${vsn}`);
  socket.binaryType = "arraybuffer";
  const [messages, waits] = [[], []];
  socket.onmessage = ({ data }) => {
    messages.push(typeof data === "string" ? data : new TextDecoder().decode(data));
    waits.splice(0).forEach((wake) => wake());
  };
  await new Promise((opened) => socket.onopen = opened);
  for (const [said, ...answers] of conversation) {
    if (typeof said === "function") await said();
    else {
      const [join_ref, ref, topic, event, payload] = said;
      socket.send(JSON.stringify(vsn === "2.0.0" ? said : { join_ref, ref, topic, event, payload }));
    }
    for (const [join_ref, ref, topic, event, payload] of answers) {
      while (messages.length === 0) await new Promise((wake) => waits.push(wake));
      const message = messages.shift().replaceAll(/(?<="id": ?")[^"]+/g, "ID");
      if (vsn === "1.0.0") same(JSON.parse(message), { ref, topic, event, payload });
      else if (event === "broadcast") equal(message, bytes);
      else same(JSON.parse(message), [join_ref, ref, topic, event, payload]);
    }
  }
  same(messages, []);
  socket.close();
}
for (const [query, status, error] of [["vsn=2.0.0", 401, "API key is missing"], [`apikey=${KEY}&vsn=3.0.0`, 403]]) {
  const answer = await fetch(`${url}/realtime/v1/websocket?${query}`);
  same([answer.status, (await answer.json().catch(() => ({}))).error], [status, error]);
}

// Users who have signed up hear of their own generations, from the request to the picture, and of nobody else's.
async function signUp(name) {
  const supabase = createClient(url, KEY, { auth: { persistSession: false, autoRefreshToken: false } });
  const { data, error } = await supabase.auth.signUp({
    email: `${name}@app.example`,
    password: "correct horse battery",
  });
  equal(error, null);
  return { supabase, topic: `process-jobs:${data.user.id}` };
}
const [cat, dan] = [await signUp("cat"), await signUp("dan")];
const [cats, dans] = [await join(cat.supabase, cat.topic), await join(dan.supabase, dan.topic)];
await Promise.all([until(cats, joins(1)), until(dans, joins(1))]);
for (const { supabase } of [await signUp("eve"), { supabase: client() }]) {
  const refused = await join(supabase, cat.topic);
  await until(refused, ({ became }) => became.length > 0);
  equal(refused.became[0], `CHANNEL_ERROR: ${unauthorized.replace(ANN, cat.topic)}`);
  await supabase.removeAllChannels();
}
const request = { p_prompt: "a fox", p_model_id: "black-forest-labs/flux-schnell" };
const { data: generation, error } = await cat.supabase.rpc("request_generation", request);
equal(error, null);
await want("drain");
const statuses = ({ heard }) => heard.map((message) => message.payload.status);
await until(cats, (joined) => statuses(joined).at(-1) === "completed");
same([...new Set(statuses(cats))], ["queued", "processing", "downloading", "completed"]);
const progress = cats.heard.map((message) => message.payload.progress);
same([progress[0], progress.at(-1), progress.toSorted((a, b) => a - b)], [0, 100, progress]);
same([...new Set(cats.heard.map((message) => message.payload.id === message.meta.id))], [false]);
equal(cats.heard.at(-1).payload.id, generation.id);
equal((await fetch(cats.heard.at(-1).payload.images[0].public_url)).status, 200);
same(dans.heard, []);
console.log("done");
Deno.exit(0);
