import type { Database } from "./database.d.ts";
import type { GenerateImage, JobTypes } from "./payloads.d.ts";

export type { Database, Json } from "./database.d.ts";
export type * from "./payloads.d.ts";

/** What lies in `job_queue`. A parked or retrying job is `pending` with a later `scheduled_at`. */
export type Job = Database["public"]["Tables"]["job_queue"]["Row"];

/** A project with job types of its own adds them here: `declare module "process-jobs" { interface Payloads { … } }`. */
export interface Payloads extends JobTypes {}

export interface EnqueueOptions {
  /** Higher first; 0 by default. */
  priority?: number;
  /** 1 to 100; 3 by default. */
  maxAttempts?: number;
  /** Not before this time. */
  scheduledAt?: Date | string;
  /** While a job of this type and key is unfinished, its id is answered and nothing is enqueued. */
  uniqueKey?: string;
  /** This http or https address is told of the job's end, by a signed webhook; by default the type's. */
  notifyUrl?: string;
}

export type JobToEnqueue = {
  [Type in keyof Payloads]: { jobType: Type; payload: Payloads[Type] } & EnqueueOptions;
}[keyof Payloads];

/** What a user may ask for beside the prompt and the model. */
export interface GenerationOptions
  extends
    Omit<GenerateImage, "generation_id" | "user_id" | "prompt" | "model_id" | "model_version" | "published_schema"> {
  /** Higher first; 0 by default. */
  priority?: number | null;
  /** 1 to 200 characters: the same request with the same key is the same generation. */
  idempotency_key?: string | null;
  /** A public https address that is told of the end. */
  notify_url?: string | null;
}

/** A generation's row, as far as its user may read it. */
export type Generation =
  & Partial<Database["public"]["Tables"]["image_generations"]["Row"]>
  & Pick<Database["public"]["Tables"]["image_generations"]["Row"], "id" | "status">;

/** Where a generation stands: the same from Realtime and from a look. */
export interface GenerationState {
  id: string;
  status: "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
  /** 0 to 100, never back; 100 when it is completed. Told with every five points and every change of status. */
  progress: number;
  /** Of one that failed or was cancelled: why. */
  error_message?: string;
  /** Seconds the model usually takes, while it is at work: by them a bar can move between two states. */
  usual_seconds?: number;
  /** Of a completed one. */
  images: Picture[];
}

export interface Picture {
  filename: string;
  /** In the bucket, for `createSignedUrl` where that is private. */
  storage_path: string;
  public_url: string;
  /** In pixels; an SVG may have no size. */
  width?: number;
  height?: number;
  format?: string;
}

/**
 * The states of a generation until it has ended, each newer than the one before; who is slow gets the newest only. To leave
 * the loop, or `return()`, ends the following and cancels nothing.
 */
export interface FollowedGeneration extends AsyncIterableIterator<GenerationState> {
  /** Rejects with the request's refusal, as the first `next()` does. */
  readonly id: Promise<string>;
  /** True: cancelled, or on its way. */
  cancel(): Promise<boolean>;
  return(): Promise<IteratorResult<GenerationState>>;
}

export interface MyLimits {
  /** Null: requests are closed to this user; a limit of null is none. */
  limits: Omit<Database["public"]["Tables"]["user_limits"]["Row"], "applies_to"> | null;
  /** Generations under way, requests of the last 24 hours, US dollars of this month (UTC). */
  used: { open: number; day: number; cost: number };
  left: { open: number | null; day: number | null; cost: number | null };
  /** When the next request of the day is possible, where none is now. */
  until: string | null;
}

export interface ProcessJobs {
  /** The job's id. Throws what the database refuses, with its `code`. */
  enqueue<Type extends keyof Payloads>(
    jobType: Type,
    payload: Payloads[Type],
    options?: EnqueueOptions,
  ): Promise<string>;
  /** Up to 1000 jobs, all or none: their ids in the order given. */
  enqueueMany(jobs: JobToEnqueue[]): Promise<string[]>;
  /** True: cancelled, or on its way. */
  cancel(id: string): Promise<boolean>;
  /** True: the failed or cancelled job is pending again, or completed. */
  retry(id: string): Promise<boolean>;
  /**
   * For a signed-in user. Throws a refusal with its `code`: PT403, PT409 (another request with this key), PT429 (not
   * now), and `details`, JSON.
   */
  requestGeneration(prompt: string, modelId: string, options?: GenerationOptions): Promise<Generation>;
  /** Null: there is none of the caller's, or its jobs are not kept any more. */
  generation(id: string): Promise<(Omit<GenerationState, "images"> & { user_id: string; images?: Picture[] }) | null>;
  /** True: cancelled, or on its way. */
  cancelGeneration(id: string): Promise<boolean>;
  /** True: it had failed or was cancelled, and is under way again. */
  retryGeneration(id: string): Promise<boolean>;
  myLimits(): Promise<MyLimits>;
  /** Null: there is none, or it is not the caller's to see. */
  job(id: string): Promise<Job | null>;
}

/** A supabase-js client, of whichever version, and of whichever `Database`. */
export interface Supabase {
  // deno-lint-ignore no-explicit-any
  rpc(name: any, args: any): PromiseLike<{ data: unknown; error: unknown }>;
  // deno-lint-ignore no-explicit-any
  from(table: any): unknown;
}

export interface SupabaseWithRealtime extends Supabase {
  // deno-lint-ignore no-explicit-any
  channel(name: string, options: any): unknown;
  // deno-lint-ignore no-explicit-any
  removeChannel(channel: any): Promise<unknown>;
  getChannels(): unknown[];
}

export function processJobs(supabase: Supabase): ProcessJobs;

/**
 * Asks for a picture as the signed-in user, and follows it to its end. A request whose answer is lost is made again with
 * the same key, so it is paid once. A refusal is thrown with its `code` (PT403, PT409, PT429) and `details`.
 *
 * Realtime tells the states; where it does not, or not yet, they are looked at every two seconds.
 */
export function generate(
  supabase: SupabaseWithRealtime,
  request: { prompt: string; model_id: string } & GenerationOptions,
): FollowedGeneration;

/** The same for a generation that was asked for before, as after a reload. */
export function follow(supabase: SupabaseWithRealtime, id: string): FollowedGeneration;
