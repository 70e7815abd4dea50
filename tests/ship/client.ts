// The package's client over supabase-js, against a running project: type-checked, then run.

import { createClient } from "@supabase/supabase-js";
import {
  type Database,
  follow,
  type FollowedGeneration,
  generate,
  type GenerationState,
  type Job,
  processJobs,
} from "process-jobs";

declare module "process-jobs" {
  interface Payloads {
    "send-mail": { to: string };
  }
}

function assert(holds: unknown, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** What the promise is refused with. */
function refusal(refused: Promise<unknown>): Promise<Error & { code?: string }> {
  return refused.then(() => {
    throw new Error("not refused");
  }, (error) => error);
}

const [url, key, publishable] = Deno.args;
const supabase = createClient<Database>(url, key, { auth: { persistSession: false } });
const jobs = processJobs(supabase);

const payload = {
  generation_id: "client-1",
  user_id: "u-1",
  prompt: "a red fox",
  model_id: "black-forest-labs/flux-schnell",
  seed: 0,
};
const id = await jobs.enqueue("generate-image", payload, {
  priority: 7,
  maxAttempts: 2,
  scheduledAt: new Date("2999-01-01T00:00:00Z"),
  uniqueKey: "client-1",
});
assert(await jobs.enqueue("generate-image", payload, { uniqueKey: "client-1" }) === id, "one key, one job");
const job: Job | null = await jobs.job(id);
assert(job?.priority === 7 && job.max_attempts === 2, "the options are kept");
assert(job.status === "pending" && job.scheduled_at.startsWith("2999-01-01"), "it waits for its time");
assert(await jobs.cancel(id), "it is cancelled");
assert((await jobs.job(id))?.status === "cancelled", "and said to be");
assert(await jobs.retry(id), "it is put back");
assert((await jobs.job(id))?.status === "pending", "and waits again");
assert(await jobs.cancel(id), "it is cancelled again");
const another = "00000000-0000-4000-8000-000000000000";
assert(await jobs.job(another) === null && !await jobs.cancel(another), "there is none");
const second = { ...payload, generation_id: "client-2" };
const many = await jobs.enqueueMany([
  {
    jobType: "generate-image",
    payload: second,
    priority: 3,
    scheduledAt: "2999-01-01T00:00:00Z",
    uniqueKey: "client-2",
  },
  { jobType: "generate-image", payload: second, uniqueKey: "client-2" },
]);
assert(many.length === 2 && many[0] === many[1], "one key, one job, in one call as well");
assert((await jobs.job(many[0]))?.priority === 3, "the options of each are kept");
assert(await jobs.cancel(many[0]), "it is cancelled");

const { data } = await supabase.from("job_queue").select("id, status").eq("id", id).single();
const status: "pending" | "processing" | "completed" | "failed" | "cancelled" | undefined = data?.status;
assert(status === "cancelled", "the types are those of the rows");

const unknown = await refusal(jobs.enqueue("send-mail", { to: "me" }));
assert(unknown.message.includes('unknown job type "send-mail"'), unknown.message);
const refused = await refusal(jobs.enqueue("generate-image", payload, { maxAttempts: 0 }));
assert(refused.message.includes("max_attempts"), refused.message);
assert(refused.code === "22023", `the code of Postgres: ${refused.code}`);
const ofMany = await refusal(jobs.enqueueMany([{ jobType: "generate-image", payload, maxAttempts: 0 }]));
assert(ofMany.message.startsWith("p_jobs[0].max_attempts must be"), ofMany.message);
const lost = processJobs(createClient("http://127.0.0.1:9", key, { auth: { persistSession: false } }));
assert((await refusal(lost.cancel(id))).message !== "", "a project that does not answer");

// A signed-in user.
let looks = 0;
const counted: typeof fetch = (...request) => {
  if (String(request[0]).endsWith("/rpc/get_generation")) looks++;
  return fetch(...request);
};
const user = createClient<Database>(url, publishable, { auth: { persistSession: false }, global: { fetch: counted } });
await user.auth.signUp({ email: "user@app.example", password: "correct horse battery" });
const mine = processJobs(user);
assert((await mine.myLimits()).limits === null, "closed until an operator opens it");
await supabase.from("user_limits").insert({ applies_to: "all", max_per_day: 1, max_open: 2 });
const made = await mine.requestGeneration("a fox", payload.model_id, { width: 512, idempotency_key: "k" });
assert(made.status === "queued" && made.prompt === "a fox" && made.width === 512, "the generation is answered");
const seen = await user.from("image_generations").select("id").eq("id", made.id).single();
assert(seen.data?.id === made.id, "and is the user's to read");
// deno-lint-ignore no-explicit-any
const empty = await refusal((mine.requestGeneration as any)());
assert(empty.code === "22023" && empty.message === "p_prompt is empty", empty.message);
const limited = await refusal(mine.requestGeneration("a dog", payload.model_id));
assert(limited.code === "PT429" && limited.message.startsWith("1 of your 1 requests in 24 hours"), limited.message);
const { limits, used, left, until } = await mine.myLimits();
assert(limits?.max_per_day === 1 && used.open === 1 && left.open === 1 && left.day === 0, "what is left");
assert(until !== null && new Date(until) > new Date(), "and until when");
assert(await mine.cancelGeneration(made.id) && !await mine.cancelGeneration(made.id), "it is cancelled");
assert((await refusal(mine.retryGeneration(made.id))).code === "PT429", "a retry counts as a request");
assert(!await mine.retryGeneration("another"), "there is none");

// A generation is followed to its end, while the function is called as the schedule would.
await supabase.from("user_limits").update({ max_per_day: null }).eq("applies_to", "all");
let isOver = false;
const drains = (async () => {
  while (!isOver) {
    await (await fetch(`${url}/functions/v1/process-jobs`, { method: "POST", headers: { apikey: key } })).body
      ?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
})();
async function statesOf(generation: FollowedGeneration): Promise<GenerationState[]> {
  const states: GenerationState[] = [];
  for await (const state of generation) states.push(state);
  return states;
}
const wanted = { prompt: "a lighthouse", model_id: payload.model_id };
const generation = generate(user, { ...wanted, width: 512, height: 512 });
const states = await statesOf(generation);
const statuses = [...new Set(states.map((state) => state.status))];
assert(statuses.at(-1) === "completed", `${statuses}`);
assert(statuses.includes("processing"), `${statuses}`);
const progress = states.map((state) => state.progress);
assert(progress.every((it, i) => i === 0 || it >= progress[i - 1]) && progress.at(-1) === 100, `${progress}`);
assert(looks <= 3, `Realtime tells it: ${looks} looks`);
const [picture] = states.at(-1)?.images ?? [];
assert(picture.width === 512 && picture.format === "webp", JSON.stringify(picture));
assert((await fetch(picture.public_url)).ok, "the picture is served");
const looked = await statesOf(follow(user, await generation.id));
const shown = ({ status, progress, images: [{ filename, public_url, width }] }: GenerationState) =>
  [status, progress, filename, public_url, width].join(" ");
assert(looked.map(shown).join() === shown(states[states.length - 1]), "a look says what was told");

const stopped = generate(user, { ...wanted, prompt: "a storm [hang]" });
for await (const { status } of stopped) if (status === "processing") await stopped.cancel();
assert((await mine.generation(await stopped.id))?.status === "cancelled", "it is cancelled");
const flagged = await statesOf(generate(user, { ...wanted, prompt: "a storm [fail:nsfw]" }));
assert(flagged.at(-1)?.error_message?.includes("flagged as sensitive"), JSON.stringify(flagged));
const notAllowed = await refusal(generate(user, { ...wanted, priority: 9 }).next());
assert(notAllowed.code === "PT403", notAllowed.message);
const other = createClient<Database>(url, publishable, { auth: { persistSession: false } });
await other.auth.signUp({ email: "other@app.example", password: "correct horse battery" });
const nothing = await refusal(follow(other, await generation.id).next());
assert(nothing.message.startsWith("there is no generation"), nothing.message);
isOver = true;
await drains;

// Whatever the project's own types are.
type Of<Functions> = {
  public: {
    Tables: Record<never, never>;
    Views: Record<never, never>;
    Functions: Functions;
    Enums: Record<never, never>;
    CompositeTypes: Record<never, never>;
  };
};
type Mail = { Args: { to: string }; Returns: undefined };
type Nothing = { Args: never; Returns: undefined };
const _untyped = () => processJobs(createClient(url, key));
const _without = () => processJobs(createClient<Of<{ [_ in never]: never }>>(url, key));
const _others = () => processJobs(createClient<Of<{ mail: Mail; nothing: Nothing }>>(url, key));
const _merged = () =>
  processJobs(createClient<Of<Database["public"]["Functions"] & { mail: Mail; nothing: Nothing }>>(url, key));

// @ts-expect-error: a prompt must be there
const _noPrompt = () => jobs.enqueue("generate-image", { generation_id: "g", user_id: "u", model_id: "m" });
// @ts-expect-error: there is no such job type
const _noType = () => jobs.enqueue("no-such-type", {});
// @ts-expect-error: a version is not the user's to choose
const _noOption = () => mine.requestGeneration("a fox", "m", { model_version: "v" });
// @ts-expect-error: a misspelled field
const _noField = () => jobs.enqueue("generate-image", { ...payload, model: "m" });
// @ts-expect-error: a payload of another type
const _noSuchPayload = () => jobs.enqueueMany([{ jobType: "generate-image", payload: { to: "me" } }]);
console.log("the client does what its types say");
