// Makes a report, which takes longer than a request may: answers 202 at once and tells the end later.
import { Webhook } from "standardwebhooks";

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void };

interface Job {
  job_id: string;
  job_url: string;
  token: string;
  payload: { pages: number };
}

const webhook = new Webhook(Deno.env.get("NOTIFY_WEBHOOK_SECRETS")!.split(",")[0]);
const atWork = new Map<string, AbortController>();

Deno.serve(async (request) => {
  const body = await request.text();
  try {
    webhook.verify(body, Object.fromEntries(request.headers));
  } catch {
    return Response.json({ error: "not signed by process-jobs" }, { status: 403 });
  }
  const job: Job = JSON.parse(body);
  if (request.method === "DELETE") {
    atWork.get(job.job_id)?.abort();
    return new Response(null, { status: 204 });
  }
  // A call may come twice.
  if (!atWork.has(job.job_id)) EdgeRuntime.waitUntil(make(job));
  return new Response(null, { status: 202 });
});

async function make(job: Job): Promise<void> {
  const abort = new AbortController();
  atWork.set(job.job_id, abort);
  try {
    for (let page = 1; page <= job.payload.pages && !abort.signal.aborted; page++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await tell(job, { progress: Math.floor((100 * page) / job.payload.pages) });
    }
    if (!abort.signal.aborted) await tell(job, { status: "completed", result: { pages: job.payload.pages } });
  } catch (error) {
    await tell(job, { status: "failed", error: String(error) });
  } finally {
    atWork.delete(job.job_id);
  }
}

async function tell(job: Job, what: Record<string, unknown>): Promise<void> {
  await fetch(job.job_url, {
    method: "PATCH",
    headers: { "authorization": `Bearer ${job.token}`, "content-type": "application/json" },
    body: JSON.stringify(what),
  });
}
