//! What always holds, whatever was done: queries that return no row, independent of the model.
//!
//! They read the tables, and `transition`, which has every change of a job: by which operation, when, with which
//! token, whether the job's type was held or paused then, and the job before (null: it is new) and after.

/// Every change there is, beside those of `IN_EVERY_STATUS`; migrations/README.md, "Which state goes where", has the
/// same without those that keep the status or are made by hand, and `-` for a job's beginning; here also for its end.
const TRANSITIONS: &[(&str, &str, &str)] = &[
    ("enqueue", "-", "pending"),
    ("complete", "-", "pending"),
    ("complete", "processing", "completed"),
    ("complete", "processing", "cancelled"),
    ("complete", "pending", "completed"),
    ("complete", "pending", "cancelled"),
    ("fail", "processing", "pending"),
    ("fail", "processing", "failed"),
    ("fail", "processing", "cancelled"),
    ("fail", "pending", "pending"),
    ("fail", "pending", "failed"),
    ("fail", "pending", "cancelled"),
    ("snooze", "processing", "pending"),
    ("snooze", "pending", "pending"),
    ("heartbeat", "processing", "processing"),
    ("wake", "pending", "pending"),
    ("wake", "processing", "processing"),
    ("cancel", "pending", "pending"),
    ("cancel", "pending", "cancelled"),
    ("cancel", "processing", "processing"),
    ("cancel", "processing", "cancelled"),
    ("claim", "pending", "processing"),
    ("claim", "processing", "pending"),
    ("claim", "processing", "failed"),
    ("claim", "processing", "cancelled"),
    ("retry", "failed", "pending"),
    ("retry", "cancelled", "pending"),
    ("redrive", "failed", "pending"),
    ("resume", "pending", "pending"),
    ("change_priority", "pending", "pending"),
    ("reset", "processing", "pending"),
    ("reset", "pending", "pending"),
    ("insert", "-", "pending"),
    ("set_pending", "processing", "pending"),
    ("set_pending", "completed", "pending"),
    ("set_pending", "failed", "pending"),
    ("set_pending", "cancelled", "pending"),
    ("set_pending", "pending", "pending"),
    ("set_cancelled", "pending", "cancelled"),
    ("set_cancelled", "processing", "cancelled"),
    ("set_cancelled", "cancelled", "pending"),
    ("set_cancelled", "cancelled", "processing"),
    ("set_cancelled", "completed", "cancelled"),
    ("set_cancelled", "failed", "cancelled"),
    ("set_cancelled", "cancelled", "cancelled"),
    ("prune", "completed", "-"),
    ("prune", "failed", "-"),
    ("prune", "cancelled", "-"),
];

/// By hand, in every status: these keep it, a delete takes the row.
pub const IN_EVERY_STATUS: &[&str] = &["set_priority", "set_time", "set_type", "set_key", "delete"];

const STATUSES: &[&str] = &["pending", "processing", "completed", "failed", "cancelled"];

pub fn transitions() -> Vec<(&'static str, &'static str, &'static str)> {
    let kept = IN_EVERY_STATUS
        .iter()
        .flat_map(|&by| STATUSES.iter().map(move |&status| (by, status, if by == "delete" { "-" } else { status })));
    TRANSITIONS.iter().copied().chain(kept).collect()
}

/// Jobs whose generation need not be as they are: those that ended otherwise than by themselves, or are gone.
const MEDDLED: &str = "
    select coalesce((after).id, (before).id) as id,
      coalesce((after).payload, (before).payload) ->> 'generation_id' as generation_id
    from transition
    where operation in ('set_type', 'delete', 'prune')
      or operation in ('set_pending', 'set_cancelled') and (before).status in ('completed', 'failed', 'cancelled')
        and (before).completed_at is not null";

/// A name, and a query of what breaks it.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "an ended job has its time and no event, an unfinished one no end, and only a completed one a result",
        "select j from job_queue j where case
           when status in ('completed', 'failed', 'cancelled') then completed_at is null or event is not null
           else completed_at is not null and id not in (select id from meddled) end
           or status <> 'completed' and result is not null and id not in (select id from meddled)",
    ),
    ("every job is where claims look for it", "select m from process_jobs.misplaced_jobs() m"),
    (
        "no owner has two jobs in one turn, but what comes back, nor one after the last that was given",
        "select (j.priority, j.payload, array_agg(r), array_agg(t)) from job_queue j
         join process_jobs.ready_jobs r on r.id = j.id and r.lane = 0 and r.rank & 2147483647 > 0
         join job_types jt on jt.job_type = j.job_type and jt.fair_key is not null
         left join process_jobs.turns t on t.job_type = j.job_type and t.priority = j.priority
           and t.owner = hashtextextended(coalesce(j.payload ->> jt.fair_key, ''), 0)
         group by j.job_type, j.priority, j.payload
         having count(*) > count(distinct r.rank) or (max(r.rank) & 2147483647 <= max(t.turn)) is not true",
    ),
    (
        "only a job at work has a lease, or one put back by hand",
        "select j from job_queue j where (lease_token is null) <> (lease_expires_at is null) or case status
           when 'processing' then lease_token is null
           when 'pending' then lease_token is not null
             and not exists (
               select from transition t where operation in ('reset', 'set_pending') and (t.after).lease_token = j.lease_token)
           else lease_token is not null end",
    ),
    (
        "a job at work is within its attempts and due",
        "select j from job_queue j where attempt_number > max_attempts
           or status = 'processing' and (attempt_number < 1 or started_at is null or scheduled_at > now()
             and not exists (select from transition t where operation = 'set_time' and (t.after).id = j.id))",
    ),
    (
        "a failed job says why, a completed one has no error",
        "select j from job_queue j where case status
           when 'failed' then error_message is null or errors = '[]'
           when 'completed' then error_message is not null end",
    ),
    (
        "no two unfinished jobs have one key",
        "select unique_key from job_queue where unique_key is not null and status in ('pending', 'processing')
         group by job_type, unique_key having count(*) > 1",
    ),
    (
        "a job asked to cancel has been at work, counts as begun, and ends as nothing else",
        "select j from job_queue j where cancel_requested_at is not null
           and (first_started_at is null or checkpoint is null or status in ('completed', 'failed'))",
    ),
    (
        "attempts are the claims but the snoozed ones, and one at least in a later life",
        "select j from job_queue j join (
           select (after).id, count(*) filter (where operation = 'claim' and (after).status = 'processing')
             - count(*) filter (where operation = 'snooze')
             + sum((after).attempt_number - (before).attempt_number) filter (where operation in ('retry', 'redrive'))
             as attempts
           from transition group by 1
         ) spent using (id) where spent.attempts <> j.attempt_number",
    ),
    (
        "errors has an entry a failed attempt, and keeps it",
        "select j from job_queue j join (
           select (after).id, count(*) filter (
             where operation = 'fail' or operation = 'claim' and (before).status = 'processing') as failures
           from transition group by 1
         ) counted using (id) where counted.failures <> jsonb_array_length(j.errors)",
    ),
    (
        "every change is one of the known ones",
        "select t from transition t
         where (operation, coalesce((before).status, '-'), coalesce((after).status, '-')) not in (TRANSITIONS)",
    ),
    (
        "an ended job is changed by a retry or by hand only, a completed one never but by hand",
        "select t from transition t where operation not like 'set\\_%' and operation not in ('delete', 'prune')
           and ((before).status = 'completed'
             or (before).status in ('failed', 'cancelled') and operation not in ('retry', 'redrive'))",
    ),
    (
        "a lease token is given by a claim only, and of one only",
        "select (after).lease_token from transition where (after).lease_token is not null
           and ((before).lease_token is distinct from (after).lease_token or operation = 'claim')
         group by 1 having count(distinct clock) > 1 or count(*) > count(distinct (after).id) or bool_or(operation <> 'claim')",
    ),
    (
        "a call with a token changes the job only that has it",
        "select t from transition t where token is not null and before is distinct from null
           and (before).lease_token is distinct from token",
    ),
    (
        "a job of a held kind is not claimed, nor one of a paused type that has not begun",
        "select t from transition t where operation = 'claim' and (after).status = 'processing'
           and (held or paused and (before).checkpoint is null)",
    ),
    (
        "a job is not claimed before it is due",
        "select t from transition t where operation = 'claim' and (after).status = 'processing'
           and ((before).status <> 'pending' or (before).scheduled_at > now())",
    ),
    (
        "no more jobs of a type begin in any time than its bucket holds and gets",
        "with start as (
           select row_number() over (partition by t.job_type order by clock) as n, clock,
             t.job_type, t.starts_per_minute / 60 as rate, greatest(1, t.starts_per_minute / 10) as most
           from transition join job_types t on t.job_type = (after).job_type and t.starts_per_minute is not null
           where operation = 'claim' and (after).status = 'processing' and (before).checkpoint is null
         )
         select format('%s of %s from %s to %s', b.n - a.n + 1, job_type, a.clock, b.clock)
         from start a join start b using (job_type, rate, most)
         where b.n >= a.n and b.n - a.n + 1 > most + rate * (b.clock - a.clock) / 1e6 + 1e-6",
    ),
    (
        "a job that may have begun something is not cancelled over a worker's head",
        "select t from transition t where operation = 'cancel' and token is null and (after).status = 'cancelled'
           and ((before).checkpoint is not null or (before).attempt_number > 0)",
    ),
    (
        "a retried job begins anew",
        "select t from transition t where operation in ('retry', 'redrive')
           and ((after).checkpoint is not null or (after).event is not null or (after).started_at is not null)",
    ),
    (
        "a job that is woken or asked to cancel is due: at once, when it parks, or when its lease is over",
        "select t from transition t where (after).status = 'pending'
           and (operation in ('wake', 'cancel', 'set_cancelled') or operation = 'snooze' and (before).woken_at is not null)
           and (after).scheduled_at > greatest(now(), (after).lease_expires_at)",
    ),
    (
        "every image job has its generation",
        "select j from job_queue j where job_type <> 'work' and payload ? 'generation_id'
           and not exists (select from image_generations g where g.id = j.payload ->> 'generation_id')",
    ),
    (
        "a generation is completed and has one picture, if and only if a download has stored it",
        "select g from image_generations g cross join lateral (
           select exists (
             select from job_queue j
             where j.payload ->> 'generation_id' = g.id and j.status = 'completed' and j.result ? 'storage_path'
           ) as stored
         ) download
         where g.id not in (select generation_id from meddled where generation_id is not null)
           and ((g.status = 'completed') <> stored
             or (select count(*) from images i where i.generation_id = g.id) <> stored::int)",
    ),
    (
        // Each has one chain of jobs, until it is completed; the download is the newer one.
        "an unfinished generation is as its newest job, with its error and prediction",
        "select (g.status, g.error_message, g.replicate_prediction_id, j) from (
           select distinct on (payload ->> 'generation_id') * from job_queue
           where job_type <> 'work' order by payload ->> 'generation_id', job_type
         ) j join image_generations g on g.id = j.payload ->> 'generation_id' and g.status <> 'completed'
           and g.id not in (select generation_id from meddled where generation_id is not null)
         where coalesce(j.checkpoint ->> 'prediction_id' <> g.replicate_prediction_id and j.cancel_requested_at is null, false) or case
           when j.status in ('failed', 'cancelled')
             then (g.status, g.error_message) is distinct from (j.status, j.error_message)
           when g.error_message is not null then true
           when j.cancel_requested_at is not null then g.status in ('failed', 'cancelled')
           when j.job_type = 'download-image' then g.status <> 'downloading'
           when j.status = 'pending' and j.started_at is null then g.status not in ('queued', 'processing')
           else g.status <> 'processing' end",
    ),
];

/// One query of all: (name, what breaks it).
pub fn query() -> String {
    let quoted: Vec<String> =
        transitions().iter().map(|(by, from, to)| format!("('{by}', '{from}', '{to}')")).collect();
    let branch =
        |(name, query): &(&str, &str)| format!("select $name${name}$name$, broken::text from ({query}) broken");
    let branches: Vec<String> = INVARIANTS.iter().map(branch).collect();
    let known = branches.join("\nunion all ").replace("TRANSITIONS", &quoted.join(", "));
    format!("with meddled as materialized ({MEDDLED}) {known}")
}
