// An answer that unpacks to more than it announces is read no further than it may be.

import { ok as assert, strictEqual as assertEquals } from "node:assert/strict";
import type {} from "../../pkg/process_jobs.d.ts";
import { handle } from "../../pkg/process_jobs.js";
import { ENVIRONMENT } from "./fixture.ts";

const REQUEST = { method: "GET", path: "/process-jobs/health", headers: { apikey: "key" }, body: "" };
const MEGABYTE = 1024 * 1024;

Deno.test("the length of a packed answer says nothing of how much comes", async () => {
  const { fetch } = globalThis;
  let read = 0;
  // What Deno makes of such an answer: it comes unpacked, under the headers of the packed one.
  const body = new ReadableStream({
    pull(controller) {
      read += MEGABYTE;
      controller.enqueue(new Uint8Array(MEGABYTE));
      if (read === 100 * MEGABYTE) controller.close();
    },
  });
  const headers = { "content-length": "5000", "content-encoding": "gzip" };
  globalThis.fetch = () => Promise.resolve(new Response(body, { headers }));
  try {
    const { status, body } = await handle(REQUEST, ENVIRONMENT);
    assertEquals(status, 503);
    assert(body.includes("the answer is larger than 16777216 bytes"), body);
    assert(read < 20 * MEGABYTE, `${read} bytes were read`);
  } finally {
    globalThis.fetch = fetch;
  }
});
