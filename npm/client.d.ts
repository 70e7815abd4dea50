import type { Database } from "./database.d.ts";
import type { JobTypes } from "./payloads.d.ts";

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

export function processJobs(supabase: Supabase): ProcessJobs;
