/** What lies in `job_queue`. */
export interface Job {
  id: string;
  job_type: string;
  payload: Record<string, unknown>;
  /** A parked or retrying job is `pending` with a later `scheduled_at`. */
  status: "pending" | "processing" | "completed" | "failed" | "cancelled";
  /** Higher first. */
  priority: number;
  attempt_number: number;
  max_attempts: number;
  result: unknown;
  error_message: string | null;
  /** One entry a failed attempt. */
  errors: { attempt: number; at: string; kind: string; message: string }[];
  /** 0 to 100. */
  progress: number | null;
  unique_key: string | null;
  created_by: string | null;
  created_at: string;
  updated_at: string;
  scheduled_at: string;
  started_at: string | null;
  completed_at: string | null;
}

/** The payload of a `generate-image` job. */
export interface GenerateImage {
  /** Letters, digits, `_` and `-`. */
  generation_id: string;
  user_id: string;
  prompt: string;
  /** `owner/name`, `owner/name:version` or a version. */
  model_id: string;
  model_version?: string | null;
  negative_prompt?: string | null;
  /** Pixels. */
  width?: number | null;
  height?: number | null;
  num_inference_steps?: number | null;
  guidance_scale?: number | null;
  seed?: number | null;
  /** One of these two. */
  source_image_url?: string | null;
  source_image_urls?: string[] | null;
  /** 0 keeps the source picture, 1 ignores it. */
  strength?: number | null;
  output_format?: "png" | "jpg" | "webp" | null;
  /** 1 to 10. */
  num_outputs?: number | null;
  published_schema?: boolean | null;
}

/** The payload of a `download-image` job. */
export interface DownloadImage {
  generation_id: string;
  user_id: string;
  /** One of these three. */
  output_url?: string | null;
  output_urls?: string[] | null;
  prediction_id?: string | null;
  prompt?: string | null;
  negative_prompt?: string | null;
  model_id?: string | null;
}

/** By job type. A project with types of its own adds them here: `declare module "process-jobs" { interface Payloads … }`. */
export interface Payloads {
  "generate-image": GenerateImage;
  "download-image": DownloadImage;
}

export interface EnqueueOptions {
  /** Higher first; 0 by default. */
  priority?: number;
  /** 1 to 100; 3 by default. */
  maxAttempts?: number;
  /** Not before this time. */
  scheduledAt?: Date | string;
  /** While a job of this type and key is unfinished, its id is answered and nothing is enqueued. */
  uniqueKey?: string;
}

export interface ProcessJobs {
  /** The job's id. Throws what the database refuses, with its `code`. */
  enqueue<Type extends keyof Payloads>(
    jobType: Type,
    payload: Payloads[Type],
    options?: EnqueueOptions,
  ): Promise<string>;
  /** True: cancelled, or on its way. */
  cancel(id: string): Promise<boolean>;
  /** True: the failed or cancelled job is pending again, or completed. */
  retry(id: string): Promise<boolean>;
  /** Null: there is none, or it is not the caller's to see. */
  job(id: string): Promise<Job | null>;
}

/** A supabase-js client, of whichever version. */
export interface Supabase {
  rpc(
    name: string,
    args: object,
  ): PromiseLike<{ data: unknown; error: unknown }>;
  from(table: string): unknown;
}

export function processJobs(supabase: Supabase): ProcessJobs;
