// Downloads and uploads that stall, drip and break off, on real connections. Each costs its own job a sentence and
// nobody else anything: a promise that goes unhandled here fails this file, and would end the isolate.
//
// The long times are shortened: those of uploads, of first bytes, and until the first heartbeat.

import { deepStrictEqual as assertEquals, match as assertMatch } from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import type {} from "../../pkg/process_jobs.d.ts";
import { handle } from "../../pkg/process_jobs.js";
import { CLAIMED_DOWNLOAD, ENVIRONMENT } from "./fixture.ts";

const SHORTENED = new Map([[75_000, 5_000], [20_000, 3_500], [10_000, 2_000]]);
/** What was aborted closes when it does. */
const UNSANITIZED = { sanitizeOps: false, sanitizeResources: false };
const latin1 = new TextDecoder("latin1");
const later = globalThis.setTimeout;
const REQUEST = { method: "POST", path: "/process-jobs", headers: { apikey: "key" }, body: "" };

const png = Deno.readFileSync(new URL("../fixtures/picture.png", import.meta.url));
const BYTES = String.fromCharCode(...png);
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\nconnection: close\r\n";

/** Sends so much of a picture, of which more was announced. */
function send(socket: Socket, bytes: number, announced = 1_000_000): void {
  const picture = new Uint8Array(bytes);
  picture.set(png);
  socket.write(`${HEAD}content-length: ${announced}\r\n\r\n`);
  socket.write(picture);
}

/** The same as a first chunk, without a length. */
function sendChunk(socket: Socket): void {
  const picture = new Uint8Array(100_000);
  picture.set(png);
  socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n186a0\r\n`);
  socket.write(picture);
  socket.write("\r\n");
}

/** What the output host does, by the path that it is asked for. */
const OUTPUTS: Record<string, (socket: Socket) => void> = {
  good: (socket) => send(socket, 20_000, 20_000),
  large: (socket) => send(socket, 500_000, 500_000),
  stall: (socket) => send(socket, 100_000),
  stall_chunked: (socket) => sendChunk(socket),
  stall_at_once: (socket) => send(socket, 20_000),
  drip: (socket) => {
    send(socket, 100_000);
    const timer = setInterval(() => socket.write("x"), 5);
    socket.on("close", () => clearInterval(timer));
  },
  end: (socket) => {
    send(socket, 100_000);
    later(() => socket.end(), 100);
  },
  garbage: (socket) => {
    sendChunk(socket);
    later(() => socket.write("no size\r\n"), 100);
  },
};

// Else the next request would come over the connection that this one leaves open.
const BUSY_ANSWER = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";

/** What Storage does with an upload. */
const UPLOADS: Record<string, (socket: Socket) => void> = {
  stores: () => {},
  never_answers: () => {},
  never_reads: (socket) => socket.pause(),
  // What came and was not read makes it a reset.
  resets: (socket) => {
    socket.pause();
    later(() => socket.destroy(), 100);
  },
  ends: (socket) => socket.end(),
  refuses_early: (socket) => socket.end(BUSY_ANSWER),
  refuses_early_and_stays: (socket) => socket.write(BUSY_ANSWER),
};

const STORED = `HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{"Key":"key"}`;

const NO_ANSWER = /^storage did not answer: no answer within 75000 ms$/;
const BROKE_OFF = /^storage did not answer: download broke off: TypeError: /;
const LOST = /^storage did not answer: TypeError: /;
const BUSY = /^storage answered 503: busy$/;
/** Who writes still may not come to read the answer. */
const BUSY_OR_LOST = new RegExp(`${BUSY.source}|${LOST.source}`);
/** What the host does, what Storage does, and the sentence; none: the picture is stored. */
const CASES: [string, string, RegExp?][] = [
  ["stall", "stores", NO_ANSWER],
  ["stall_chunked", "stores", NO_ANSWER],
  ["stall_at_once", "stores", /^download broke off: no answer within 20000 ms$/],
  ["drip", "stores", NO_ANSWER],
  ["end", "stores", BROKE_OFF],
  ["garbage", "stores", BROKE_OFF],
  ["large", "stores"],
  ["large", "never_answers", NO_ANSWER],
  ["large", "never_reads", NO_ANSWER],
  ["large", "resets", LOST],
  ["large", "ends", LOST],
  ["large", "refuses_early", BUSY_OR_LOST],
  ["large", "refuses_early_and_stays", BUSY],
  ["stall", "never_reads", NO_ANSWER],
  ["stall", "resets", LOST],
  ["stall", "ends", LOST],
  ["stall", "refuses_early", BUSY],
  ["drip", "resets", LOST],
  ["drip", "refuses_early_and_stays", BUSY],
  ["good", "never_answers", NO_ANSWER],
  ["good", "resets", LOST],
  ["good", "refuses_early", BUSY],
];
/** Of these the first heartbeat says that the lease is lost: the run is dropped wherever it is. */
const LEASE_LOST: typeof CASES = [["stall_at_once", "stores"], ["stall", "stores"], ["large", "never_answers"]];
CASES.push(...LEASE_LOST);

/** One connection, one request: its head, then its body, then nothing more. */
async function serve(answer: (socket: Socket, path: string, sent: Promise<number>) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let text = "";
    let bytes = 0;
    let ended = (_bytes: number) => {};
    const sent = new Promise<number>((resolve) => ended = resolve);
    socket.on("data", (chunk: Uint8Array) => {
      const isFirst = text === "";
      text += latin1.decode(chunk);
      const [head, ...body] = text.split("\r\n\r\n");
      bytes = body.join("\r\n\r\n").length;
      const length = head.match(/content-length: (\d+)/i)?.[1];
      if (length ? bytes >= Number(length) : text.endsWith("\r\n0\r\n\r\n")) ended(bytes);
      if (isFirst) answer(socket, head.split(" ")[1], sent);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  const open = () => sockets.size;
  return { open, close, host: `127.0.0.1:${(server.address() as { port: number }).port}` };
}

/** The outcome of a job that is settled by itself. */
function alone(rpc: string, told: { p_job_id: string; p_error?: string }) {
  const outcome = rpc === "snooze_job" ? "snoozed" : told.p_error === undefined ? "completed" : "failed";
  return { job_id: told.p_job_id, outcome, error: told.p_error };
}

/** Drains such jobs, with the timers faster; answers what each came to. Nothing may go unhandled meanwhile. */
async function drain(jobs: object[], environment: object, isLeaseLost = (_id: string) => false) {
  const outcomes = new Map<string, { outcome: string; error?: string }>();
  const unhandled: unknown[] = [];
  const hear = (event: PromiseRejectionEvent | ErrorEvent) => {
    event.preventDefault();
    unhandled.push("reason" in event ? event.reason : event.error);
  };
  addEventListener("unhandledrejection", hear);
  addEventListener("error", hear);
  const { fetch, setTimeout, console } = globalThis;
  globalThis.fetch = (url, init?: RequestInit) => {
    const rpc = String(url).split("/rpc/")[1];
    if (!rpc) return fetch(url, init);
    const told = JSON.parse(init?.body as string);
    const answer = (body: unknown) => Promise.resolve(Response.json(body));
    if (rpc === "claim_next_job") return answer(jobs.splice(0, told.p_limit));
    if (rpc === "seconds_until_next_job") return answer(null);
    if (rpc === "heartbeat_job") return answer(!isLeaseLost(told.p_job_id));
    for (const outcome of told.p_outcomes ?? [alone(rpc, told)]) outcomes.set(outcome.job_id, outcome);
    const settled = told.p_outcomes?.map(() => true);
    return answer(settled ? { settled, jobs: jobs.splice(0, told.p_limit), seconds_until_next: null } : true);
  };
  const faster = (call: () => void, milliseconds: number) =>
    setTimeout(call, SHORTENED.get(milliseconds) ?? milliseconds);
  Object.assign(globalThis, { setTimeout: faster, console: { ...console, log() {}, warn() {}, error() {} } });
  try {
    await handle(REQUEST, { ...ENVIRONMENT, MAX_PARALLEL_JOBS: "60", RUN_BUDGET_MS: "100000", ...environment });
    // What nobody waits for any more has its time to go wrong.
    await new Promise((resolve) => setTimeout(resolve, 500));
  } finally {
    Object.assign(globalThis, { fetch, setTimeout, console });
    removeEventListener("unhandledrejection", hear);
    removeEventListener("error", hear);
  }
  assertEquals(unhandled, []);
  return outcomes;
}

const id = (number: number) => `11111111-1111-4111-8111-${String(number).padStart(12, "0")}`;

Deno.test("what breaks off costs its own job alone", UNSANITIZED, async () => {
  const host = await serve((socket, path) => OUTPUTS[path.split("/")[1]](socket));
  const storage = await serve((socket, path, sent) => {
    const does = path.split("/").at(-1)!.split(/[-.]/)[1];
    UPLOADS[does](socket);
    if (does === "stores") sent.then(() => socket.end(STORED));
  });
  // A good one beside each.
  const cases = CASES.flatMap((one) => [one, ["good", "stores"] as typeof one]);
  const jobs = cases.map(([output, upload], number) => ({
    ...CLAIMED_DOWNLOAD,
    id: id(number),
    max_attempts: 10,
    lease_seconds: 30,
    payload: {
      generation_id: `${number}-${upload}`,
      user_id: "u",
      output_url: `http://${host.host}/${output}/${number}`,
    },
  }));
  const environment = { SUPABASE_URL: `http://${storage.host}`, ALLOWED_OUTPUT_HOSTS: host.host };
  const outcomes = await drain(jobs, environment, (id) => LEASE_LOST.includes(CASES[Number(id.slice(-12)) / 2]));
  const left = host.open();
  host.close();
  storage.close();
  for (const [number, [output, upload, sentence]] of cases.entries()) {
    const found = outcomes.get(id(number));
    const what = `${output}, ${upload}: ${JSON.stringify(found)}`;
    if (LEASE_LOST.includes(cases[number])) {
      assertEquals(found, undefined, what);
    } else if (sentence) {
      assertEquals(found?.outcome, "failed", what);
      assertMatch(found?.error ?? "", sentence, what);
    } else assertEquals(found?.outcome, "completed", what);
  }
  // Nothing is downloaded for nobody.
  assertEquals(left, 0);
});

Deno.test("a timer that is called although it was cleared does no harm", UNSANITIZED, async () => {
  const jobs = Array.from({ length: 20 }, (_, number) => ({
    ...CLAIMED_DOWNLOAD,
    id: id(number),
    payload: { generation_id: `g${number}`, user_id: "u", output_url: `data:image/png;base64,${btoa(BYTES)}` },
  }));
  const storage = await serve((socket, _path, sent) => sent.then(() => socket.end(STORED)));
  const { clearTimeout } = globalThis;
  globalThis.clearTimeout = () => {};
  try {
    const outcomes = await drain(jobs, { SUPABASE_URL: `http://${storage.host}` });
    assertEquals([...outcomes.values()].map(({ outcome }) => outcome), Array(20).fill("completed"));
    // The longest that there are.
    await new Promise((resolve) => later(resolve, Math.max(...SHORTENED.values())));
  } finally {
    globalThis.clearTimeout = clearTimeout;
    storage.close();
  }
});
