// Ways from the wasm into JavaScript. Each costs CPU, and unlike CPU they can be counted.

import { deepStrictEqual as assertEquals, ok as assert } from "node:assert/strict";
import * as glue from "../../pkg/process_jobs_bg.js";
import { CLAIMED_DOWNLOAD, ENVIRONMENT } from "./fixture.ts";

/** Of one download, its two requests included. */
const DOWNLOAD_MOST = 82;
const JOBS = 10;

const REQUEST = { method: "POST", path: "/process-jobs", headers: { apikey: "key" }, body: "" };

let crossings = 0;
// deno-lint-ignore no-explicit-any
const counted = ([name, imported]: [string, any]) => [
  name,
  typeof imported !== "function" ? imported : (...given: unknown[]) => {
    crossings++;
    return imported(...given);
  },
];
const bytes = Deno.readFileSync(new URL("../../pkg/process_jobs_bg.wasm", import.meta.url));
const imports = { "./process_jobs_bg.js": Object.fromEntries(Object.entries(glue).map(counted)) };
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
// deno-lint-ignore no-explicit-any
const { __wbg_set_wasm, handle } = glue as any;
__wbg_set_wasm(exports);
(exports.__wbindgen_start as () => void)();

const picture = new Uint8Array(20_000);
picture.set(Deno.readFileSync(new URL("../fixtures/picture.png", import.meta.url)));

/** Crossings of a drain that finds so many downloads of 20 KB. */
async function drain(downloads: number): Promise<number> {
  const { fetch } = globalThis;
  const jobs = Array.from({ length: downloads }, (_, number) => ({
    ...CLAIMED_DOWNLOAD,
    id: `11111111-1111-4111-8111-${String(number).padStart(12, "0")}`,
    payload: { generation_id: `g${number}`, user_id: "u", output_url: `https://replicate.delivery/${number}.png` },
  }));
  globalThis.fetch = (url, init?: RequestInit) => {
    const answer = (body: BodyInit & { length: number }) =>
      Promise.resolve(new Response(body, { headers: { "content-length": String(body.length) } }));
    if (String(url).startsWith("https://replicate.delivery/")) return answer(picture);
    if (String(url).includes("/storage/")) return answer(`{"Key":"a-key"}`);
    const claimed = jobs.splice(0);
    if (String(url).endsWith("/claim_next_job")) return answer(JSON.stringify(claimed));
    if (String(url).endsWith("/seconds_until_next_job")) return answer("null");
    const settled = JSON.parse(init?.body as string).p_outcomes.map(() => true);
    return answer(JSON.stringify({ settled, jobs: claimed, seconds_until_next: null }));
  };
  const before = crossings;
  try {
    const { body } = await handle(REQUEST, ENVIRONMENT);
    assertEquals(JSON.parse(body).processed, downloads);
  } finally {
    globalThis.fetch = fetch;
  }
  return crossings - before;
}

Deno.test("a download makes few ways into JavaScript", async () => {
  await drain(JOBS); // What is made once is made.
  const none = await drain(0);
  const each = (await drain(JOBS) - none) / JOBS;
  assert(each <= DOWNLOAD_MOST, `${each} a download`);
});
