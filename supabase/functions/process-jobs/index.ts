// Connects the platform to the worker in pkg/: requests and settings in, answers out. No job logic.
import type { FunctionAnswer } from "../../../pkg/process_jobs.d.ts";
import { admit, close, drain, handle } from "../../../pkg/process_jobs.js";

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void };

/** One byte more than the worker takes, so that it can tell and answer 413. */
const BODY_MAX_BYTES = 1024 * 1024 + 1;
/** Of a body that nobody reads. */
const DISCARDED_MAX_BYTES = 2 * BODY_MAX_BYTES;
const DISCARDED_MILLISECONDS = 1_000;
/** For a body to arrive. */
const BODY_MILLISECONDS = 10_000;
/** For the answers to leave before the isolate ends. */
const LAST_WORDS_MILLISECONDS = 100;

/** Answers requests still waiting when the worker traps. */
const inFlight = new Set<(answer: Response) => void>();
let trapped = false;
let answered = false;

// A trap leaves the wasm instance unusable, and the promises of its async calls never settle. So
// what is in flight is answered here, nothing new is let in, and the isolate ends; the next request
// gets a fresh one, and the leases bring the jobs back. With nobody to answer it ends at once.
function end(event: Event, error: unknown): void {
  if (answered || (!trapped && inFlight.size === 0)) return;
  event.preventDefault();
  if (trapped) return;
  trapped = true;
  for (const answer of inFlight) answer(crashed());
  setTimeout(() => {
    answered = true;
    throw error;
  }, LAST_WORDS_MILLISECONDS);
}

/** Out of memory and out of stack are traps too. */
function isTrap(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
}

addEventListener("error", (event) => end(event, event.error));

// Any other promise that nobody waits for costs what it was about, and not what else is at work here. What it
// says may name an address, and is not for the log.
addEventListener("unhandledrejection", (event) => {
  if (isTrap(event.reason)) return end(event, event.reason);
  event.preventDefault();
  const message = `a promise was rejected and nobody waited for it: ${event.reason?.name ?? typeof event.reason}`;
  console.error(JSON.stringify({ level: "error", message }));
});

// About a tenth of the time or CPU is left, the platform says; it may also end the isolate without a word.
addEventListener("beforeunload", () => close());

Deno.serve((request) => {
  if (trapped) return crashed();
  return new Promise<Response>((resolve, reject) => {
    inFlight.add(resolve);
    const failed = (error: unknown) => {
      if (!isTrap(error)) return reject(error);
      queueMicrotask(() => {
        throw error;
      });
    };
    respond(request).then(resolve, failed).finally(() => inFlight.delete(resolve));
  });
});

function crashed(): Response {
  const error = "the worker crashed; its jobs run again when their lease is over";
  return Response.json({ success: false, error }, { status: 500 });
}

async function respond(request: Request): Promise<Response> {
  const env = Deno.env.toObject();
  const { pathname, search } = new URL(request.url);
  const head = {
    method: request.method,
    path: pathname + search,
    headers: Object.fromEntries(request.headers),
    body: "",
  };
  // Whoever is not let in is answered without a look at the body.
  const admitted = request.body === null ? false : admit(head, env);
  if (typeof admitted === "object") {
    await discard(request.body?.getReader());
    return toResponse(admitted);
  }
  if (!admitted) await discard(request.body?.getReader());
  const body = admitted ? await readBody(request) : "";
  if (body === undefined) return late();
  const answer = await handle({ ...head, body }, env);
  if (answer.drain) EdgeRuntime.waitUntil(drain(env));
  return toResponse(answer);
}

function toResponse({ status, headers, body }: FunctionAnswer): Response {
  return new Response(status === 204 ? null : body, { status, headers });
}

function late(): Response {
  const error = `the body did not arrive within ${BODY_MILLISECONDS} ms`;
  return Response.json({ success: false, error }, { status: 408 });
}

type Body = ReadableStreamDefaultReader<Uint8Array>;

/** The body as text, read no further than one byte past the most that is taken; undefined: it did not come in time. */
async function readBody(request: Request): Promise<string | undefined> {
  const reader = request.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const ended = await read(reader, BODY_MAX_BYTES, BODY_MILLISECONDS, (chunk) => {
    text += decoder.decode(chunk, { stream: true });
  });
  if (ended === undefined) return undefined;
  if (!ended) await discard(reader);
  return text + decoder.decode();
}

/** Lets what is on its way of a body go, unread: else the connection would be cut, maybe before the answer is heard. */
async function discard(reader: Body | undefined): Promise<void> {
  await read(reader, DISCARDED_MAX_BYTES, DISCARDED_MILLISECONDS, () => {});
  reader?.cancel().catch(() => {});
}

/** Whether the body ended within so many bytes; undefined: it did not within the time, or the caller has gone. */
async function read(
  reader: Body | undefined,
  bytes: number,
  milliseconds: number,
  take: (chunk: Uint8Array) => void,
): Promise<boolean | undefined> {
  if (reader === undefined) return true;
  let timer;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds);
  });
  try {
    while (bytes > 0) {
      const next = await Promise.race([reader.read(), timeout]);
      if (next === undefined) {
        reader.cancel().catch(() => {});
        return undefined;
      }
      if (next.done) return true;
      bytes -= next.value.length;
      take(next.value);
    }
    return false;
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
