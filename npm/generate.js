// A generation from its request to its pictures, by the signed-in user's own supabase-js client: told by Realtime, looked
// up where that is silent.

import { processJobs } from "./client.js";

const ENDED = ["completed", "failed", "cancelled"];
/** Milliseconds from one look to the next: without Realtime; with it, for a message that was lost. */
const LOOKS = { alone: 2000, beside: 15_000 };

export function generate(supabase, { prompt, model, ...options }) {
  const jobs = processJobs(supabase);
  // One key for whatever is asked again after a lost answer.
  const key = crypto.randomUUID();
  let asked;
  const ask = () => asked ??= jobs.requestGeneration(prompt, model, { idempotency_key: key, ...options });
  return {
    async *[Symbol.asyncIterator]() {
      yield* follow(supabase, (await ask()).id);
    },
    async cancel() {
      return jobs.cancelGeneration((await ask()).id);
    },
  };
}

export async function* follow(supabase, id) {
  const jobs = processJobs(supabase);
  let shown = null;
  let topic = null;
  let told = null;
  try {
    for (;;) {
      const state = told ?? await jobs.generation(id);
      if (state === null) throw new Error(`there is no generation ${id} of yours`);
      topic ??= join(supabase, state.user_id);
      if (shown === null || state.status !== shown.status || state.progress > shown.progress) {
        shown = { id, status: state.status, progress: state.progress, error: state.error_message ?? null, images: state.images ?? [] };
        yield shown;
      }
      if (ENDED.includes(state.status)) return;
      told = await topic.news(id);
    }
  } finally {
    topic?.leave();
  }
}
