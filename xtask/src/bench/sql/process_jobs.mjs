// process-jobs: the calls that the function makes, without the function.
import { administer, asked, count, inSessions, inTwoStatements, PAYLOAD_SQL, report } from "./measure.mjs";

const EXCHANGE = `select exchange_jobs($1, $2, $3) as answer`;
const CLAIM = `select * from claim_next_job($1, $2)`;
const COMPLETE = `select complete_job(p_job_id => $1, p_lease_token => $2) as recorded`;
const JOB_TYPES = ["no-op"];
// What remains of claim and completion without what the functions do.
const BARE_CLAIM = `
  with picked as (
    delete from process_jobs.ready_jobs
    where id = any (array(
      select id from process_jobs.ready_jobs where job_type = 'no-op' and lane = 0
      order by rank, created_at, id limit $1 for update skip locked))
    returning id)
  update job_queue
  set status = 'processing', attempt_number = attempt_number + 1, lease_token = gen_random_uuid(),
    lease_expires_at = now() + interval '60 seconds', started_at = now(), first_started_at = now(), updated_at = now(),
    moves = moves + 1
  where id = any (array(select id from picked))
  returning id, job_type, payload, attempt_number, max_attempts, life, checkpoint, lease_token`;
const BARE_COMPLETE = `
  update job_queue
  set status = 'completed', progress = 100, completed_at = now(), lease_token = null, lease_expires_at = null,
    updated_at = now(), moves = moves + 1
  where id = any ($1)`;

await administer(
  `truncate job_queue`,
  `insert into job_types (job_type) values ('no-op') on conflict do nothing`,
  `insert into job_queue (job_type, payload) select 'no-op', ${PAYLOAD_SQL} from generate_series(1, ${asked.jobs}) n`,
  `vacuum analyze job_queue, job_types, process_jobs.ready_jobs`,
  `checkpoint`,
);
const ended = await inSessions({ exchange, "by-hand": byHand, bare }[asked.variant]);
const [{ completed }] = await administer(
  `select count(*) as completed from job_queue where status = 'completed' and attempt_number = 1 and errors = '[]'`,
);
report(ended, completed);

/** As the worker does it: a round trip settles what has been run and claims what comes next. */
async function exchange(session) {
  let outcomes = [];
  for (;;) {
    const values = [JSON.stringify(outcomes), JOB_TYPES, asked.batch];
    const { rows: [{ answer }] } = await session.query({
      name: "exchange",
      text: EXCHANGE,
      values,
    });
    const refusal = answer.settled.find((it) => it !== true);
    if (refusal !== undefined) {
      throw new Error(`an outcome was answered with ${refusal}`);
    }
    count(outcomes.map((outcome) => outcome.job_id));
    if (answer.jobs.length === 0) return;
    outcomes = answer.jobs.map(({ id, lease_token }) => ({
      outcome: "completed",
      job_id: id,
      lease_token,
    }));
  }
}

/** As one does it by hand: a call that claims, and one that completes for each job. */
async function byHand(session) {
  for (;;) {
    const { rows: jobs } = await session.query({
      name: "claim",
      text: CLAIM,
      values: [JOB_TYPES, asked.batch],
    });
    if (jobs.length === 0) return;
    for (const { id, lease_token } of jobs) {
      const { rows } = await session.query({
        name: "complete",
        text: COMPLETE,
        values: [id, lease_token],
      });
      if (rows[0].recorded !== true) {
        throw new Error(`job ${id} could not be completed`);
      }
      count([id]);
    }
  }
}

/** The least that claim and completion can cost in this table, with its columns, indexes, constraints and triggers. */
async function bare(session) {
  await session.query("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off");
  await inTwoStatements(BARE_CLAIM, BARE_COMPLETE)(session);
}
