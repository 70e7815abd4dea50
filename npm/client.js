// The queue, by the caller's own supabase-js client. It asks as that client does: with a secret key, or as whoever the
// project lets call these functions: the app's own users, those that speak of generations.

export { follow, generate } from "./generations.js";

/** @param {{ rpc: Function, from: Function }} supabase */
export function processJobs(supabase) {
  return {
    async enqueue(jobType, payload, options = {}) {
      return taken(
        await supabase.rpc("enqueue_job", {
          p_job_type: jobType,
          p_payload: payload,
          ...(options.priority !== undefined &&
            { p_priority: options.priority }),
          ...(options.maxAttempts !== undefined &&
            { p_max_attempts: options.maxAttempts }),
          ...(options.scheduledAt !== undefined &&
            { p_scheduled_at: time(options.scheduledAt) }),
          ...(options.uniqueKey !== undefined &&
            { p_unique_key: options.uniqueKey }),
          ...(options.notifyUrl !== undefined &&
            { p_notify_url: options.notifyUrl }),
        }),
      );
    },
    async enqueueMany(jobs) {
      return taken(
        await supabase.rpc("enqueue_jobs", {
          p_jobs: jobs.map((job) => ({
            job_type: job.jobType,
            payload: job.payload,
            priority: job.priority,
            max_attempts: job.maxAttempts,
            scheduled_at: time(job.scheduledAt),
            unique_key: job.uniqueKey,
            notify_url: job.notifyUrl,
          })),
        }),
      );
    },
    async cancel(id) {
      return taken(await supabase.rpc("cancel_job", { p_job_id: id }));
    },
    async retry(id) {
      return taken(await supabase.rpc("retry_job", { p_job_id: id }));
    },
    async requestGeneration(prompt, modelId, options = {}) {
      return taken(
        await answered(supabase.rpc("request_generation", {
          // (What is undefined would be left out, and the function not found.)
          p_prompt: prompt ?? null,
          p_model_id: modelId ?? null,
          p_options: options,
        })),
      );
    },
    async generation(id) {
      return taken(
        await answered(supabase.rpc("get_generation", { p_id: id })),
      );
    },
    async cancelGeneration(id) {
      return taken(await supabase.rpc("cancel_generation", { p_id: id }));
    },
    async retryGeneration(id) {
      return taken(await supabase.rpc("retry_generation", { p_id: id }));
    },
    async myLimits() {
      return taken(await supabase.rpc("my_limits", {}));
    },
    async job(id) {
      return taken(
        await supabase.from("job_queue").select("*").eq("id", id).maybeSingle(),
      );
    },
  };
}

function time(at) {
  return at instanceof Date ? at.toISOString() : at;
}

/** Milliseconds after which a request counts as lost. */
const PATIENCE = 20_000;

/** (AbortSignal.timeout is not on every phone.) */
async function answered(request) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  try {
    return await request.abortSignal(controller.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** supabase-js answers an error; here it is thrown, with its code and HTTP status. */
function taken({ data, error, status }) {
  if (error) {
    throw Object.assign(new Error(error.message), {
      status,
      code: error.code,
      details: error.details,
      hint: error.hint,
    });
  }
  return data;
}
