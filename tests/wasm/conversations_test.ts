// The conversations of tests/conversations, held with the built wasm: its `fetch` is scripted here.
//
// Those in which time passes are left to the native tests, which move it by hand. How a script
// reads is told in tests/it/script.rs.

import { deepStrictEqual as assertEquals, match as assertMatch } from "node:assert/strict";
import type {} from "../../pkg/process_jobs.d.ts";
import { handle } from "../../pkg/process_jobs.js";

const SUPABASE = "https://ref.supabase.co";
const VERSION = JSON.parse(Deno.readTextFileSync(new URL("../../npm/package.json", import.meta.url))).version;
const REPLICATE = "https://api.replicate.com/v1";
const ENVIRONMENT = {
  SUPABASE_URL: SUPABASE,
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_1"}',
  SUPABASE_SERVICE_ROLE_KEY: "eyJ.service.role",
  PROCESS_JOBS_SECRET: "open-sesame-and-sit-down",
  REPLICATE_API_TOKEN: "r8_token",
};
const CLAIMED = {
  id: "11111111-1111-4111-8111-111111111111",
  payload: {},
  attempt_number: 1,
  max_attempts: 3,
  checkpoint: null,
  lease_token: "22222222-2222-4222-8222-222222222222",
  event: null,
  cancel_requested: false,
  lease_seconds: 60,
  life: 1,
  age_seconds: 0,
  search_from: "2026-11-23T09:59:00+00:00",
  seconds_until_next: null,
};

const directory = new URL("../conversations/", import.meta.url);
let held = 0;
for (const { name } of [...Deno.readDirSync(directory)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  const text = Deno.readTextFileSync(new URL(name, directory));
  const takesTime = /^< after |^\* drain finished: .* in [1-9]\d* ms$/m.test(text);
  if (takesTime) continue;
  held += 1;
  Deno.test(name.replace(".txt", ""), () => hold(text));
}

Deno.test("enough conversations are without waiting", () => {
  if (held < 50) throw new Error(`only ${held} conversations were held`);
});

async function hold(conversation: string): Promise<void> {
  const text = conversation.replaceAll("VERSION", VERSION);
  const env: Record<string, string> = { ...ENVIRONMENT };
  const script: string[] = [];
  let action = "";
  for (const line of text.split("\n").map((line) => line.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("env ")) {
      const [name, ...value] = line.slice(4).split("=");
      env[name] = value.join("=");
    } else if (line === "drain" || line.startsWith("request ")) action = line;
    else script.push(line);
  }
  const restore = listen(script);
  try {
    const request = action === "drain" ? "POST /process-jobs apikey=sb~secret~1" : action.slice("request ".length);
    const answer = await handle(parseRequest(request), env);
    const expected = JSON.parse(next(script, "= "));
    const isText = answer.headers.some(([name, value]) => name === "content-type" && value.startsWith("text/plain"));
    const body = answer.body === "" ? null : isText ? answer.body : JSON.parse(answer.body);
    if (action !== "drain") {
      assertEquals({ status: answer.status, body, drain: answer.drain }, expected);
    } else if ("error" in expected) {
      assertEquals({ status: answer.status, error: body.error }, { status: 500, error: expected.error });
    } else {
      const { processed, errors, snoozed } = body;
      assertEquals({ processed, errors, snoozed }, expected);
    }
    assertEquals(script, []);
  } finally {
    restore();
  }
}

/** Puts the script behind `fetch` and the console; returns what undoes it. */
function listen(script: string[]): () => void {
  const { fetch, console } = globalThis;
  globalThis.fetch = (url, init) => converse(script, String(url), init ?? {});
  const heard = (line: string) => {
    const { message } = JSON.parse(line);
    const pattern = next(script, "* ").replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/in \d+ ms$/, "in \\d+ ms");
    assertMatch(message, new RegExp(`^${pattern}$`));
  };
  globalThis.console = { ...console, log: heard, warn: heard, error: heard };
  // A host has a public address, unless a script says otherwise.
  const { resolveDns } = Deno;
  Object.assign(Deno, {
    resolveDns(host: string, kind: string) {
      const missing = () => Promise.reject(new Deno.errors.NotFound("no record found"));
      if (kind === "AAAA") return missing();
      if (script[0] !== `> DNS ${host}`) return Promise.resolve(["93.184.216.34"]);
      next(script, "> ");
      const answer = next(script, "< ");
      return answer === "lost" ? missing() : Promise.resolve(JSON.parse(answer));
    },
  });
  // The time of the signatures in the scripts.
  const { now } = Date;
  Date.now = () => 1614265330000;
  return () => {
    Object.assign(globalThis, { fetch, console });
    Object.assign(Deno, { resolveDns });
    Date.now = now;
  };
}

async function converse(script: string[], url: string, init: RequestInit): Promise<Response> {
  let body: string;
  try {
    // As the platform's own, it ends with its signal.
    const stopped = new Promise<never>((_, reject) => init.signal?.addEventListener("abort", () => reject()));
    body = await Promise.race([said(init), stopped]);
  } catch {
    body = "a stream that was stopped";
  }
  const asked = `${init.method} ${url.replace(SUPABASE, "").replace(REPLICATE, "replicate:")}`;
  // Nothing is said of the bucket, unless a script says it.
  if (asked.includes("/storage/v1/bucket/") && script[0] !== `> ${asked}`) return new Response(null, { status: 503 });
  // The queue is empty, unless a script says otherwise.
  if (asked.endsWith("/rpc/claim_next_job") && !script[0]?.startsWith("> ")) return Response.json([]);
  if (asked.endsWith("/rpc/seconds_until_next_job") && !script[0]?.startsWith(`> ${asked}`)) {
    return Response.json(null);
  }
  const expected = next(script, "> ");
  const [head, expectedBody] = expected.match(/^(\S+ \S+) ?(.*)$/)!.slice(1);
  assertEquals(asked, head);
  if (body.startsWith("{")) {
    // What every claim tells alike, and its name, where a script does not say it.
    const { p_job_types: _types, p_worker: _worker, ...told } = JSON.parse(body);
    const expected = JSON.parse(expectedBody);
    if ("p_limit" in told && !("p_lease_token" in expected)) {
      assertMatch(told.p_lease_token, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      delete told.p_lease_token;
    }
    assertEquals(told, expected);
  } else assertEquals(body, expectedBody);
  while (script[0]?.startsWith(">> ")) {
    const [, name, value] = next(script, ">> ").match(/^(\S+): (.*)$/)!;
    assertEquals(new Headers(init.headers).get(name), value);
  }
  const answer = next(script, "< ");
  if (answer === "lost" || body.endsWith("stopped")) throw new TypeError("connection lost");
  return answered(answer, /\/(claim_next_job|exchange_jobs)$/.test(head));
}

/** What a request says: its text, or how long its stream is, which a short one is not. */
async function said({ body }: RequestInit): Promise<string> {
  if (body instanceof Uint8Array) return `a stream of ${body.length} bytes`;
  if (!(body instanceof ReadableStream)) return body as string ?? "";
  let bytes = 0;
  for await (const chunk of body as ReadableStream<Uint8Array>) bytes += chunk.length;
  return `a stream of ${bytes} bytes`;
}

function answered(answer: string, isClaim: boolean): Response {
  const [, status, rest] = answer.match(/^(\d+) ?(.*)$/)!;
  const headers = new Headers();
  let body = rest;
  for (let pair; (pair = body.match(/^([a-z-]+)=(\S+) (.*)$/));) {
    headers.set(pair[1], pair[2]);
    body = pair[3];
  }
  const init = { status: Number(status), headers };
  if (body.startsWith("file ")) {
    return new Response(Deno.readFileSync(new URL(`../fixtures/${body.slice(5)}`, import.meta.url)), init);
  }
  if (isClaim && status === "200") {
    const answer = JSON.parse(body);
    const whole = (jobs: object[]) => jobs.map((job) => ({ ...CLAIMED, ...job }));
    return Response.json(Array.isArray(answer) ? whole(answer) : { ...answer, jobs: whole(answer.jobs) }, init);
  }
  return new Response(body === "" ? null : body, init);
}

function parseRequest(text: string) {
  const [method, path, ...words] = text.split(" ");
  const headers: Record<string, string> = {};
  while (words.length > 0 && /^[a-z-]+=/.test(words[0])) {
    const [name, ...value] = words.shift()!.split("=");
    headers[name] = value.join("=").replaceAll("_", " ").replaceAll("~", "_");
  }
  return { method, path, headers, body: words.join(" ") };
}

/** Takes the next line, which must begin with the mark, and gives the rest. */
function next(script: string[], mark: string): string {
  const line = script.shift() ?? "the end of the script";
  if (!line.startsWith(mark)) throw new Error(`expected ${line}, but what came was ${mark}`);
  return line.slice(mark.length).trim();
}
