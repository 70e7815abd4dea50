// Once the isolate is closing nothing is begun. A file of its own, because the worker does not open again.

import { deepStrictEqual as assertEquals } from "node:assert/strict";
import type {} from "../../pkg/process_jobs.d.ts";
import { close, handle } from "../../pkg/process_jobs.js";
import { CLAIMED_DOWNLOAD, ENVIRONMENT } from "./fixture.ts";

const REQUEST = { method: "POST", path: "/process-jobs", headers: { apikey: "key" }, body: "" };

Deno.test("a closing isolate claims nothing, and hands back what a claim brings it late", async () => {
  const { fetch } = globalThis;
  const asked: string[] = [];
  globalThis.fetch = (url, init?: RequestInit) => {
    const call = String(url).split("/rpc/")[1];
    asked.push(call);
    if (call !== "claim_next_job") {
      assertEquals(JSON.parse(init?.body as string), {
        p_job_id: "11111111-1111-4111-8111-111111111111",
        p_lease_token: "22222222-2222-4222-8222-222222222222",
        p_delay_seconds: 0,
      });
      return Promise.resolve(new Response("true"));
    }
    // The platform's word comes while the claim is on its way.
    close();
    return Promise.resolve(Response.json([CLAIMED_DOWNLOAD]));
  };
  try {
    const first = await handle(REQUEST, ENVIRONMENT);
    assertEquals([first.status, JSON.parse(first.body).processed], [200, 0]);
    assertEquals(asked, ["claim_next_job", "snooze_job"]);
    const second = await handle(REQUEST, ENVIRONMENT);
    assertEquals([second.status, asked.length], [200, 2]);
  } finally {
    globalThis.fetch = fetch;
  }
});
