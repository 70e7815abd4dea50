import { equal } from "node:assert/strict";
import type {} from "../../pkg/process_jobs.d.ts";
import { handle } from "../../pkg/process_jobs.js";

Deno.test("a request without credentials is refused", async () => {
  const request = { method: "POST", path: "/process-jobs", headers: {}, body: "" };
  const env = { SUPABASE_URL: "http://127.0.0.1:9", SUPABASE_SERVICE_ROLE_KEY: "the-secret-key" };
  const answer = await handle(request, env);
  equal(answer.status, 401);
  equal(JSON.parse(answer.body).success, false);
});
