// The stand-in of Realtime beside the official client. Says on standard output what it wants done, a line each, and goes on
// with a line of standard input. URL, KEY, SECRET_KEY and TOKENS, a list of two, are in its environment.

import { deepStrictEqual as same, match, strictEqual as equal } from "node:assert";
import { stdin } from "node:process";
import { createInterface } from "node:readline/promises";
import { createClient } from "@supabase/supabase-js";

const { URL: url, KEY, SECRET_KEY, TOKENS } = Deno.env.toObject();
const [ann, ben] = JSON.parse(TOKENS);
const lines = createInterface({ input: stdin })[Symbol.asyncIterator]();

async function want(what) {
  console.log(what);
  return (await lines.next()).value;
}

function client(token) {
  return createClient(url, KEY, token === undefined ? {} : { accessToken: () => Promise.resolve(token) });
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
  while (!holds(joined)) await new Promise((wake) => joined.waits.push(wake));
}

const joins = (times) => ({ became }) => became.filter((it) => it === "SUBSCRIBED").length === times;
const admin = createClient(url, SECRET_KEY);
const say = async (topic, ...messages) => {
  const { error } = await admin.rpc("say", { p_topic: topic, p_messages: messages });
  return error?.message;
};
const payloads = ({ heard }) => heard.map((message) => message.payload.n);

// Each hears what is said on the own topic, in the order in which it was said, and nothing that was rolled back.
const [anns, bens] = [await join(client(ann), "t:ann"), await join(client(ben), "t:ben")];
await Promise.all([until(anns, joins(1)), until(bens, joins(1))]);
for (let n = 0; n < 20; n += 2) await say("t:ann", { n }, { n: n + 1 });
equal(await say("t:ann", { n: 99 }, "take it back"), "taken back");
await say("t:ben", { n: 100 });
await say("t:ann", { n: 20 });
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
const unauthorized = "Unauthorized: You do not have permissions to read from this Channel topic: t:ann";
for (
  const [token, refusal] of [
    [ben, unauthorized],
    [undefined, unauthorized],
    [`${ann.slice(0, -4)}AAAA`, "JwtSignatureError: Failed to validate JWT signature"],
    ["nonsense", "MalformedJWT: The token provided is not a valid JWT"],
  ]
) {
  const other = client(token);
  const refused = await join(other, "t:ann");
  await until(refused, ({ became }) => became.length > 0);
  equal(refused.became[0], `CHANNEL_ERROR: ${refusal}`);
  await other.removeAllChannels();
}
// What is private is not told in public.
const open = client();
const publicly = await join(open, "t:ann", { private: false });
await until(publicly, joins(1));
await say("t:ann", { n: 21 });
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
await say("t:ann", { n: 22 });
await want("find");
await until(anns, joins(2));
await say("t:ann", { n: 23 });
await until(anns, ({ heard }) => heard.length >= 23);
equal(payloads(anns).at(-1), 23);

// A token that runs out closes its channel, and says so.
const shorts = await join(client(await want("a token for three seconds")), "t:ann");
await until(shorts, ({ became }) => became.includes("CLOSED"));
same([shorts.became.length, shorts.became[0], shorts.became[2]], [3, "SUBSCRIBED", "CLOSED"], `${shorts.became}`);
match(shorts.became[1], /^Token has expired /);

// One that has left hears no more, and may come again.
await anns.channel.unsubscribe();
await say("t:ann", { n: 24 });
const again = await join(client(ann), "t:ann");
await until(again, joins(1));
await say("t:ann", { n: 25 });
await until(again, ({ heard }) => heard.length >= 1);
same([payloads(again), payloads(anns).at(-1)], [[25], 23]);
console.log("done");
Deno.exit(0);
