// A worker as one writes it by hand: supabase-js, a claim and a settle for each job.
// deno-lint-ignore no-import-prefix -- as one writes it in a function without a deno.json
import { createClient } from "npm:@supabase/supabase-js@2";

const PARALLEL_JOBS = 10;
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")!);

Deno.serve(async (request) => {
  if (request.method === "GET") return Response.json({ status: "ok" });
  const processed = await Promise.all(Array.from({ length: PARALLEL_JOBS }, work));
  return Response.json({ success: true, processed: processed.reduce((sum, jobs) => sum + jobs, 0) });
});

async function work(): Promise<number> {
  for (let processed = 0;; processed++) {
    const { data: jobs, error } = await supabase.rpc("claim_next_job");
    if (error) throw error;
    if (jobs.length === 0) return processed;
    await (jobs[0].job_type === "download-image" ? download(jobs[0]) : poll(jobs[0]));
  }
}

// deno-lint-ignore no-explicit-any
async function download(job: any) {
  const { generation_id, user_id, output_url } = job.payload;
  const response = await fetch(output_url);
  if (!response.ok) throw new Error(`output answered ${response.status}`);
  const picture = await response.arrayBuffer();
  const contentType = response.headers.get("content-type") ?? "image/png";
  const format = contentType.split("/")[1];
  const bucket = supabase.storage.from("generated-images");
  const path = `${user_id}/${generation_id}.${format}`;
  const { error } = await bucket.upload(path, picture, { contentType, upsert: true });
  if (error) throw error;
  await settle("complete_job", job, {
    p_result: {
      filename: `${generation_id}.${format}`,
      storage_path: path,
      public_url: bucket.getPublicUrl(path).data.publicUrl,
      file_size: picture.byteLength,
      format,
    },
  });
}

// deno-lint-ignore no-explicit-any
async function poll(job: any) {
  const response = await fetch(`${Deno.env.get("REPLICATE_API_URL")}/predictions/${job.checkpoint.prediction_id}`, {
    headers: { authorization: `Bearer ${Deno.env.get("REPLICATE_API_TOKEN")}` },
  });
  const prediction = await response.json();
  if (prediction.status !== "processing" && prediction.status !== "starting") throw new Error(prediction.status);
  await settle("snooze_job", job, { p_delay_seconds: 60, p_checkpoint: job.checkpoint });
}

// deno-lint-ignore no-explicit-any
async function settle(settled: string, job: any, outcome: object) {
  const { error } = await supabase.rpc(settled, { p_job_id: job.id, p_lease_token: job.lease_token, ...outcome });
  if (error) throw error;
}
