// How the npm package follows a generation, beside a project that answers as scripted and a clock that is moved by hand.

import { deepStrictEqual as assertEquals, rejects } from "node:assert/strict";
import { follow, generate } from "../../npm/client.js";

/** Stands in for the timers: `move` runs what falls due. */
class Clock {
  #now = 0;
  #timers = new Map();
  #next = 1;
  #real = [globalThis.setTimeout, globalThis.clearTimeout];

  constructor() {
    globalThis.setTimeout = (run, delay) => {
      this.#timers.set(this.#next, { run, at: this.#now + delay });
      return this.#next++;
    };
    globalThis.clearTimeout = (id) => this.#timers.delete(id);
  }

  get waiting() {
    return this.#timers.size;
  }

  async move(seconds) {
    const end = this.#now + seconds * 1_000;
    for (;;) {
      await this.settle();
      const [id, timer] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!timer || timer.at > end) break;
      this.#timers.delete(id);
      this.#now = timer.at;
      timer.run();
    }
    this.#now = end;
  }

  /** Until every promise that needs no timer has been kept. */
  async settle() {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => this.#real[0].call(globalThis, resolve, 0));
  }

  restore() {
    [globalThis.setTimeout, globalThis.clearTimeout] = this.#real;
  }
}

/** A supabase-js client of a project: `answers` by function, each given once, the last for ever. */
class Project {
  calls = [];
  open = [];
  realtime = { setAuth: () => Promise.resolve() };
  #answers;

  constructor(answers) {
    this.#answers = answers;
  }

  rpc(name, args) {
    this.calls.push([name, args]);
    const answers = this.#answers[name];
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return Object.assign(Promise.resolve(answer), { abortSignal: () => Promise.resolve(answer) });
  }

  count(name) {
    return this.calls.filter(([called]) => called === name).length;
  }

  channel(name, { config }) {
    const channel = { topic: `realtime:${name}`, isPrivate: config.private };
    channel.on = (_, { event }, heard) => {
      channel.tell = (payload) => heard({ type: "broadcast", event, payload });
    };
    channel.subscribe = (become) => {
      channel.become = (status) => {
        if (status === "CLOSED") this.open = this.open.filter((it) => it !== channel);
        become(status);
      };
    };
    this.open.push(channel);
    return channel;
  }

  getChannels() {
    return this.open;
  }

  async removeChannel(channel) {
    await Promise.resolve();
    channel.become("CLOSED");
  }
}

function ok(data) {
  return { data, error: null, status: 200 };
}

function refused(status, code, message = "no") {
  return { data: null, error: { message, code, details: "", hint: null }, status };
}

function state(status, progress, more = {}) {
  return { id: "g", user_id: "u", status, progress, ...more };
}

/** What is read of it, for as long as it goes on. */
function read(generation) {
  const seen = { states: [], failure: null, ended: false };
  (async () => {
    try {
      for await (const { status, progress } of generation) seen.states.push(`${status} ${progress}`);
    } catch (error) {
      seen.failure = error;
    }
    seen.ended = true;
  })();
  return seen;
}

function test(name, run) {
  Deno.test(name, async () => {
    const clock = new Clock();
    try {
      await run(clock);
      assertEquals(clock.waiting, 0, "nothing is left waiting");
    } finally {
      clock.restore();
    }
  });
}

test("a request whose answer is lost is made again with the same key", async (clock) => {
  const project = new Project({
    request_generation: [refused(0, ""), refused(504, undefined), ok({ id: "g", status: "queued" })],
    get_generation: [ok(state("completed", 100, { images: [{ filename: "a.png" }] }))],
  });
  const generation = generate(project, { prompt: "a fox", model_id: "a/b", width: 512 });
  await clock.move(10);
  assertEquals(await generation.id, "g");
  const asked = project.calls.map(([, args]) => args);
  assertEquals(asked.length, 3);
  assertEquals(new Set(asked.map((args) => args.p_options.idempotency_key)).size, 1);
  assertEquals([asked[0].p_prompt, asked[0].p_model_id, asked[0].p_options.width], ["a fox", "a/b", 512]);
  const { value } = await generation.next();
  assertEquals(value, { id: "g", status: "completed", progress: 100, images: [{ filename: "a.png" }] });
  assertEquals(await generation.next(), { value: undefined, done: true });
});

test("what is refused is thrown, and asked once", async () => {
  for (const refusal of [refused(429, "PT429", "not now"), refused(400, "22023"), refused(403, "PT403")]) {
    const project = new Project({ request_generation: [refusal] });
    const generation = generate(project, { prompt: "a fox", model_id: "a/b", idempotency_key: "mine" });
    await rejects(generation.next(), {
      message: refusal.error.message,
      code: refusal.error.code,
      status: refusal.status,
    });
    await rejects(generation.id, { code: refusal.error.code });
    assertEquals(await generation.next(), { value: undefined, done: true });
    assertEquals(project.calls.map(([, args]) => args.p_options.idempotency_key), ["mine"]);
  }
});

test("without Realtime it is looked at every two seconds", async (clock) => {
  const looks = [state("queued", 0), state("queued", 0), state("processing", 10), state("processing", 5)];
  const project = new Project({ get_generation: [...looks, state("failed", 10)].map(ok) });
  project.realtime.setAuth = () => Promise.reject(new Error("none here"));
  const seen = read(follow(project, "g"));
  await clock.move(7.9);
  assertEquals([seen.states, project.count("get_generation")], [["queued 0", "processing 10"], 4]);
  await clock.move(0.1);
  assertEquals(seen, { states: ["queued 0", "processing 10", "failed 10"], failure: null, ended: true });
});

test("Realtime tells it, and a look is made beside it every fifteen seconds", async (clock) => {
  const project = new Project({ get_generation: [ok(state("queued", 0))] });
  const seen = read(follow(project, "g"));
  await clock.settle();
  const [channel] = project.open;
  assertEquals([channel.topic, channel.isPrivate], ["realtime:process-jobs:u", true]);
  channel.become("SUBSCRIBED");
  await clock.move(29);
  assertEquals(project.count("get_generation"), 3, "once, once more when it had joined, and once beside it");
  channel.tell(state("processing", 36));
  channel.tell(state("processing", 30));
  channel.tell({ ...state("completed", 100), id: "another" });
  await clock.settle();
  channel.tell(state("queued", 0));
  channel.tell(state("downloading", 90));
  channel.tell(state("downloading", 95));
  await clock.settle();
  channel.tell(state("completed", 100));
  await clock.settle();
  assertEquals(
    seen.states,
    ["queued 0", "processing 36", "downloading 95", "completed 100"],
    "the newest to who is slow",
  );
  assertEquals([seen.ended, project.open], [true, []]);
});

test("a channel that is refused or closed is looked past, and opened again", async (clock) => {
  const project = new Project({ get_generation: [ok(state("processing", 10))] });
  const generation = follow(project, "g");
  read(generation);
  await clock.settle();
  project.open[0].become("SUBSCRIBED");
  await clock.move(1);
  const looks = project.count("get_generation");
  project.open[0].become("CHANNEL_ERROR");
  await clock.move(3.9);
  assertEquals(project.count("get_generation") - looks, 2, "at once, and after two seconds");
  project.open[0].become("CLOSED");
  await clock.move(4.9);
  assertEquals(project.open, []);
  await clock.move(0.1);
  assertEquals(project.open.length, 1, "after five seconds");
  await generation.return();
  await clock.settle();
  assertEquals(project.open, []);
});

test("a channel of the app's own is left alone", async (clock) => {
  const project = new Project({ get_generation: [ok(state("processing", 10)), ok(state("completed", 100))] });
  const own = project.channel("process-jobs:u", { config: {} });
  const seen = read(follow(project, "g"));
  await clock.move(2);
  assertEquals([seen.ended, project.open], [true, [own]]);
});

test("all who follow share a channel, as long as one is there", async (clock) => {
  const project = new Project({ get_generation: [ok(state("processing", 10))] });
  const [first, second] = [follow(project, "g"), follow(project, "g")];
  const seen = [read(first), read(second)];
  await clock.settle();
  assertEquals(project.open.length, 1);
  project.open[0].become("SUBSCRIBED");
  await first.return();
  await clock.settle();
  assertEquals([seen[0].ended, seen[1].ended, project.open.length], [true, false, 1]);
  project.open[0].tell(state("failed", 10, { error_message: "no" }));
  await clock.settle();
  assertEquals([seen[1].states, project.open], [["processing 10", "failed 10"], []]);
  const third = follow(project, "g");
  read(third);
  await clock.settle();
  assertEquals(project.open.length, 1, "it is opened anew");
  await third.return();
  await clock.settle();
});

test("what is no answer is asked again, what is refused three times is thrown", async (clock) => {
  const lost = [refused(0, ""), refused(503, undefined), refused(429, ""), refused(500, "57014")];
  const refusal = refused(401, "PGRST301", "the token has run out");
  const answers = [...lost, refusal, refusal, ok(state("processing", 10)), refusal, ...lost, refusal, refusal];
  const project = new Project({ get_generation: answers });
  const seen = read(follow(project, "g"));
  await clock.move(60);
  assertEquals(seen.states, ["processing 10"]);
  assertEquals([seen.failure.message, project.count("get_generation")], ["the token has run out", 14]);
  const none = read(follow(new Project({ get_generation: [ok(null)] }), "g"));
  await clock.settle();
  assertEquals(none.failure.message, "there is no generation g, or its jobs are not kept any more");
});

test("who stops is answered at once, and cancels nothing", async (clock) => {
  const project = new Project({
    request_generation: [ok({ id: 7, status: "queued" })],
    get_generation: [ok({ ...state("queued", 0), id: "7" })],
    cancel_generation: [ok(true)],
  });
  const generation = generate(project, { prompt: "a fox", model_id: "a/b" });
  assertEquals((await generation.next()).value.status, "queued");
  const next = generation.next();
  await generation.return();
  assertEquals(await next, { value: undefined, done: true });
  await clock.settle();
  assertEquals([project.open, project.count("cancel_generation")], [[], 0]);
  assertEquals(await generation.cancel(), true);
  assertEquals(project.calls.at(-1), ["cancel_generation", { p_id: 7 }]);
  const unread = follow(project, "7");
  await unread.return();
  assertEquals(await unread.next(), { value: undefined, done: true });
});
