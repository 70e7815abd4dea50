// Sends a mail. Its answer is the end of the job: 2xx completes it, 4xx fails it, 429 waits, 5xx is tried again.
import { Webhook } from "standardwebhooks";

const MAIL_API_URL = Deno.env.get("MAIL_API_URL") ?? "https://api.resend.com/emails";
const webhook = new Webhook(Deno.env.get("NOTIFY_WEBHOOK_SECRETS")!.split(",")[0]);

Deno.serve(async (request) => {
  const body = await request.text();
  try {
    webhook.verify(body, Object.fromEntries(request.headers));
  } catch {
    return Response.json({ error: "not signed by process-jobs" }, { status: 403 });
  }
  // DELETE: the job is cancelled. A mail cannot be called back.
  if (request.method !== "POST") return new Response(null, { status: 405 });

  const { payload, idempotency_key } = JSON.parse(body);
  const answer = await fetch(MAIL_API_URL, {
    method: "POST",
    headers: {
      "authorization": `Bearer ${Deno.env.get("MAIL_API_KEY")}`,
      "content-type": "application/json",
      // A call may come twice; with the same key the mail does not.
      "idempotency-key": idempotency_key,
    },
    body: JSON.stringify({ from: "shop@example.com", ...payload }),
  });
  const retryAfter = answer.headers.get("retry-after");
  return new Response(answer.body, { status: answer.status, headers: retryAfter ? { "retry-after": retryAfter } : {} });
});
