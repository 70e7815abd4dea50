// graphile-worker. The pages named here are those of its documentation, https://worker.graphile.org/docs.
import { administer, asked, count, PAYLOAD_SQL, report } from "./measure.mjs";

const fastest = asked.variant === "fastest";
// Its own perfTest/run.js does so: by default a line is logged for every job.
if (fastest) process.env.NO_LOG_SUCCESS = "1";
const { makeWorkerUtils, run } = await import("graphile-worker");

const utils = await makeWorkerUtils({ connectionString: asked.url });
await utils.migrate();
await utils.release();
await administer(
  `truncate graphile_worker._private_jobs`,
  `select count(*) from graphile_worker.add_jobs(array(
    select json_populate_record(null::graphile_worker.job_spec,
      json_build_object('identifier', 'no-op', 'payload', ${PAYLOAD_SQL}))
    from generate_series(1, ${asked.jobs}) n))`,
  `vacuum analyze graphile_worker._private_jobs`,
  `checkpoint`,
);

let left = asked.jobs;
let end;
const allRun = new Promise((resolve) => (end = resolve));
const taskList = {
  "no-op": (_payload, { job }) => {
    count([job.id]);
    if (--left === 0) end();
  },
};
const batched = fastest && asked.batch > 1;
const preset = {
  worker: {
    connectionString: asked.url,
    ...(batched ? inBatches(asked.batch) : oneByOne()),
  },
};
// With batches a session is a pool, each of which fetches for itself; without, it is a job at work. Completions are not
// waited for before the next fetch, and take connections of their own.
const runners = await Promise.all(
  Array.from(
    { length: batched ? asked.sessions : 1 },
    () => run({ preset, taskList, noHandleSignals: true }),
  ),
);
await allRun;
const lastRun = performance.now();
// A job that is completed is deleted. Waited for here, because stop does not wait for all.
let left_over;
let ended;
do {
  [{ left_over }] = await administer(
    `select count(*) as left_over from graphile_worker._private_jobs`,
  );
  ended = performance.now();
} while (left_over > 0 && ended - lastRun < 10_000);
await Promise.all(runners.map((runner) => runner.stop()));
report(ended, asked.jobs - left_over);

/** "Performance", without batching, which is the default; "Configuration": maxPoolSize, as recommended. */
function oneByOne() {
  return {
    concurrentJobs: asked.sessions,
    maxPoolSize: Math.max(10, asked.sessions + 2),
  };
}

/** "Performance", with batching, but for the size: 24 jobs at once, as long as a batch has so many. */
function inBatches(size) {
  const concurrentJobs = Math.min(24, size);
  return {
    concurrentJobs,
    maxPoolSize: concurrentJobs + 1,
    localQueue: { size },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  };
}
