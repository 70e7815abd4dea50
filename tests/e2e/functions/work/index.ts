// Notes each call in the table `calls`, then does what the payload says for this attempt.

interface Step {
  status?: number;
  body?: unknown;
  headers?: Record<string, string>;
  /** The length of a text as the body. */
  length?: number;
  hangs?: boolean;
  milliseconds?: number;
  progress?: number;
}

const url = Deno.env.get("SUPABASE_URL");
const { default: key } = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!);

Deno.serve(async (request) => {
  const { token, ...job } = await request.json();
  await fetch(`${url}/rest/v1/calls`, {
    method: "POST",
    headers: { "apikey": key, "content-type": "application/json" },
    body: JSON.stringify({
      method: request.method,
      key: request.headers.get("idempotency-key"),
      is_ours: request.headers.get("apikey") === key,
      token,
      job,
    }),
  });
  const steps: Step[] = job.payload?.steps ?? [{ status: 204 }];
  const step = steps[Math.min(job.attempt_number ?? 1, steps.length) - 1];
  if (step.progress !== undefined) {
    const told = await fetch(job.job_url, {
      method: "PATCH",
      headers: { "authorization": `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ progress: step.progress }),
    });
    if (told.status !== 204) return new Response(await told.text(), { status: 400 });
  }
  if (step.hangs) await new Promise(() => {});
  if (step.milliseconds) await new Promise((resolve) => setTimeout(resolve, step.milliseconds));
  const body = step.length ? "x".repeat(step.length) : step.body === undefined ? null : JSON.stringify(step.body);
  return new Response(body, { status: step.status ?? 200, headers: step.headers });
});
