//! The queue itself: does operations in one transaction, and reads what they leave.

use std::cell::RefCell;
use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use crate::coverage::Transition;
use crate::invariants;
use crate::model::{Aim, Answer, Claimed, Seen, checkpoint, event, unique_key};
use crate::operation::{Operation, Set};
use crate::rows::{BACKOFF_BASE_SECONDS, Job, JobType, Jobs, Microseconds, Status, job_types};

pub struct Queue {
    client: Client,
    jobs: Statement,
    types: Statement,
    invariants: Statement,
    /// All others, by their text.
    statements: RefCell<HashMap<String, Statement>>,
}

/// Ids that are the same in every run and yet in no order; and a table of all changes of jobs, for the invariants.
const PREPARE: &str = "
    create sequence job_number;
    alter table job_queue alter id set default md5(nextval('job_number')::text)::uuid;
    delete from job_types where job_type = 'deliver-webhook';
    insert into job_types (job_type) values ('work');
    -- Its jobs would come by themselves; tests/db/watch_prediction has them.
    delete from job_types where job_type = 'watch-prediction';

    create table transition (
      operation text not null, clock bigint not null, token uuid, held boolean not null, paused boolean not null,
      before job_queue, after job_queue
    );
    create function log_transition() returns trigger language plpgsql as $$
    begin
      insert into public.transition
      select current_setting('test.operation'), current_setting('test.clock')::bigint,
        nullif(current_setting('test.token'), '')::uuid,
        coalesce(case when old.checkpoint is not null then t.begun_held_until > now() and old.woken_at is null else t.held_until > now() end,
          false),
        t.paused_at is not null, old, new
      from public.job_types t where t.job_type = coalesce(new.job_type, old.job_type);
      return null;
    end
    $$;
    create trigger log_transition after insert or update or delete on job_queue
    for each row when (current_setting('test.operation') <> 'pass') execute function log_transition()";

/// Times are read as microseconds from now().
const JOBS: &str = "
    select id, job_type, payload ->> 'generation_id', unique_key, status, priority, attempt_number, max_attempts,
      lease_token, cancel_requested_at is not null, checkpoint, event, result, error_message,
      jsonb_path_query_array(errors, '$[*].kind'),
      (extract(epoch from created_at - now()) * 1000000)::bigint,
      (extract(epoch from scheduled_at - now()) * 1000000)::bigint,
      (extract(epoch from started_at - now()) * 1000000)::bigint,
      (extract(epoch from first_started_at - now()) * 1000000)::bigint,
      (extract(epoch from completed_at - now()) * 1000000)::bigint,
      (extract(epoch from lease_expires_at - now()) * 1000000)::bigint,
      (extract(epoch from woken_at - now()) * 1000000)::bigint, life,
      (select r.rank & 2147483647 from process_jobs.ready_jobs r where r.id = job_queue.id)
    from job_queue";

const TYPES: &str = "
    select job_type, lease_seconds, backoff_max_seconds, starts_per_minute, start_tokens, paused_at is not null,
      (extract(epoch from start_tokens_at - now()) * 1000000)::bigint,
      (extract(epoch from held_until - now()) * 1000000)::bigint,
      (extract(epoch from begun_held_until - now()) * 1000000)::bigint, fair_key is not null
    from job_types";

impl Queue {
    pub async fn new(client: Client) -> Result<Queue> {
        client.batch_execute(PREPARE).await?;
        for (job_type, policy) in job_types() {
            let set = "update job_types set lease_seconds = $2, backoff_base_seconds = $3, backoff_max_seconds = $4,
                starts_per_minute = $5, fair_key = case when $6 then 'owner' end where job_type = $1";
            let JobType { lease_seconds, backoff_max_seconds, starts_per_minute, fair, .. } = policy;
            let base = BACKOFF_BASE_SECONDS;
            client
                .execute(set, &[&job_type, &lease_seconds, &base, &backoff_max_seconds, &starts_per_minute, &fair])
                .await?;
        }
        let jobs = client.prepare(JOBS).await?;
        let types = client.prepare(TYPES).await?;
        let invariants = client.prepare(&invariants::query()).await?;
        Ok(Queue { client, jobs, types, invariants, statements: RefCell::default() })
    }

    /// Begins a sequence with an empty queue; now() stands still in it.
    pub async fn begin(&self) -> Result<(), Error> {
        self.client.batch_execute("begin; select setval('job_number', 1, false), setseed(0.5)").await
    }

    pub async fn roll_back(&self) -> Result<(), Error> {
        self.client.batch_execute("rollback").await
    }

    /// Clears what was rolled back, which every read would pass over.
    pub async fn vacuum(&self) -> Result<(), Error> {
        self.client.batch_execute("vacuum job_queue, job_types, image_generations, images, transition").await
    }

    /// All of this sequence so far.
    pub async fn transitions(&self) -> Result<Vec<Transition>, Error> {
        let all = "select operation, coalesce((before).status, '-'), coalesce((after).status, '-') from transition";
        Ok(self.query(all, &[]).await?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    pub async fn take(&self, operation: &Operation, aim: &Aim, clock: Microseconds) -> Result<Answer> {
        let token = aim.token.map(|token| token.to_string()).unwrap_or_default();
        let context = "select set_config('test.operation', $1, true), set_config('test.clock', $2, true),
            set_config('test.token', $3, true)";
        self.query(context, &[&operation.name(), &clock.to_string(), &token]).await?;
        let (job, token) = (&aim.job, &aim.token);
        Ok(match operation {
            Operation::Enqueue { key, priority, max_attempts, delay_seconds, .. } => {
                let enqueue = "select enqueue_job($1, $2, $3, $4, now() + make_interval(secs => $5), $6)";
                let (payload, delay) = (payload(aim), delay_seconds.map(f64::from));
                let key = key.map(unique_key);
                let row = self.one(enqueue, &[&aim.enqueues, &payload, priority, max_attempts, &delay, &key]).await?;
                Answer::Id(row.get(0))
            }
            Operation::Insert { key, priority, delay_seconds, .. } => {
                let insert = "insert into job_queue (job_type, payload, priority, unique_key, scheduled_at)
                    values ($1, $2, $3, $4, coalesce(now() + make_interval(secs => $5), now())) returning id";
                let (payload, key, delay) = (payload(aim), key.map(unique_key), delay_seconds.map(f64::from));
                let inserted = self.by_hand(insert, &[&aim.enqueues, &payload, priority, &key, &delay]).await?;
                inserted.map_or_else(Answer::Refused, |rows| Answer::Id(rows[0].get(0)))
            }
            Operation::Claim { only, limit, lease_seconds } => {
                let claim = "select id, lease_token, lease_seconds, attempt_number, checkpoint, event,
                    cancel_requested, age_seconds, extract(epoch from now() - search_from)::float8
                    from claim_next_job($1, $2, $3)";
                let rows = self.query(claim, &[&only.map(|only| vec![only]), limit, lease_seconds]).await?;
                Answer::Claimed(rows.iter().map(claimed).collect())
            }
            Operation::Complete { key, .. } => {
                let complete = "select complete_job($1, $2, p_lease_token => $3, p_follow_ups => $4)";
                let key = key.map(unique_key);
                let follow_up = |it| json!([{ "job_type": it, "payload": payload(aim), "unique_key": key }]);
                let follow_ups = aim.enqueues.map_or(json!([]), follow_up);
                self.bool(complete, &[job, &aim.result, token, &follow_ups]).await?
            }
            Operation::Fail { retry, .. } => {
                let fail = "select complete_job($1, p_error => 'it failed', p_lease_token => $2, p_retry => $3)";
                self.bool(fail, &[job, token, retry]).await?
            }
            Operation::Snooze { delay_seconds, prediction, hold, pause, .. } => {
                let snooze = "select snooze_job($1, $2, $3, $4, p_hold_job_type => $5, p_pause_reason => $6)";
                let (delay, checkpoint) = (f64::from(*delay_seconds), prediction.map(checkpoint));
                let pause = pause.then_some("no credit");
                self.bool(snooze, &[job, token, &delay, &checkpoint, hold, &pause]).await?
            }
            Operation::Heartbeat { lease_seconds, .. } => {
                self.bool("select heartbeat_job($1, $2, $3)", &[job, token, lease_seconds]).await?
            }
            Operation::Wake { event: it, .. } => self.bool("select wake_job($1, $2)", &[job, &event(*it)]).await?,
            Operation::Cancel { .. } => self.bool("select cancel_job($1, $2)", &[job, token]).await?,
            Operation::Retry { attempts, .. } => {
                let retried = self.by_hand("select retry_job($1, $2)", &[job, attempts]).await?;
                retried.map_or_else(Answer::Refused, |rows| Answer::Bool(rows[0].get(0)))
            }
            Operation::Redrive { only, limit, attempts } => {
                let redrive = "select redrive_failed_jobs($1, p_limit => $2, p_attempts => $3)::bigint";
                Answer::Count(self.one(redrive, &[only, limit, attempts]).await?.get(0))
            }
            Operation::Pause { job_type } => self.bool("select pause_job_type($1, 'no credit')", &[job_type]).await?,
            Operation::Resume { job_type } => self.bool("select resume_job_type($1)", &[job_type]).await?,
            Operation::ChangePriority { priority, .. } => {
                self.bool("select change_priority($1, $2)", &[job, priority]).await?
            }
            Operation::SetFair { fair } => {
                let set = "update job_types set fair_key = case when $1 then 'owner' end where job_type = 'work' returning true";
                self.bool(set, &[fair]).await?
            }
            Operation::Pass { seconds } => self.pass(f64::from(*seconds)).await?,
            Operation::Reset => {
                let reset = "with reset as (
                    update job_queue set status = 'pending' where status = 'processing' returning id
                ) select count(*) from reset";
                Answer::Count(self.one(reset, &[]).await?.get(0))
            }
            Operation::Set { to, .. } => {
                let update = |set: &str| format!("update job_queue set {set} where id = $1 returning id");
                let updated = match to {
                    Set::Pending => self.by_hand(&update("status = 'pending'"), &[job]).await?,
                    Set::Cancelled => self.by_hand(&update("status = 'cancelled'"), &[job]).await?,
                    Set::Priority(priority) => self.by_hand(&update("priority = $2"), &[job, priority]).await?,
                    Set::ScheduledAt(delay_seconds) => {
                        let set = update("scheduled_at = now() + make_interval(secs => $2)");
                        self.by_hand(&set, &[job, &f64::from(*delay_seconds)]).await?
                    }
                    Set::JobType(job_type) => self.by_hand(&update("job_type = $2"), &[job, job_type]).await?,
                    Set::UniqueKey(key) => {
                        self.by_hand(&update("unique_key = $2"), &[job, &key.map(unique_key)]).await?
                    }
                };
                updated.map_or_else(Answer::Refused, |rows| Answer::Bool(!rows.is_empty()))
            }
            Operation::Delete { .. } => {
                let deleted = self.query("delete from job_queue where id = $1 returning id", &[job]).await?;
                Answer::Bool(!deleted.is_empty())
            }
            Operation::Prune { limit } => {
                let prune = "select prune_jobs(now() - interval '1 hour', $1)::bigint";
                Answer::Count(self.one(prune, &[limit]).await?.get(0))
            }
        })
    }

    pub async fn seconds_until_next(&self) -> Result<Option<f64>, Error> {
        Ok(self.one("select seconds_until_next_job()", &[]).await?.get(0))
    }

    /// Moves every time that is kept back, since now() cannot be moved.
    async fn pass(&self, seconds: f64) -> Result<Answer, Error> {
        let jobs = "update job_queue set created_at = created_at - passed, scheduled_at = scheduled_at - passed,
              started_at = started_at - passed, first_started_at = first_started_at - passed,
              completed_at = completed_at - passed, lease_expires_at = lease_expires_at - passed,
              woken_at = woken_at - passed
            from make_interval(secs => $1) passed";
        let types =
            "update job_types set held_until = held_until - passed, begun_held_until = begun_held_until - passed,
              start_tokens_at = start_tokens_at - passed
            from make_interval(secs => $1) passed";
        self.query(jobs, &[&seconds]).await?;
        self.query(types, &[&seconds]).await?;
        Ok(Answer::Bool(true))
    }

    /// What an operation has left, and the invariants that do not hold now.
    pub async fn look(&self, answer: Answer, clock: Microseconds) -> Result<(Seen, Vec<String>)> {
        let (jobs, types, broken) = tokio::try_join!(
            self.client.query(&self.jobs, &[]),
            self.client.query(&self.types, &[]),
            self.client.query(&self.invariants, &[]),
        )?;
        let turns = jobs.iter().filter_map(|row| Some((row.get(0), row.get::<_, Option<i64>>(23)?))).collect();
        let jobs = jobs.iter().map(|row| Ok((row.get(0), read_job(row, clock)?))).collect::<Result<Jobs>>()?;
        let broken = broken.iter().map(|row| format!("{}: {}", row.get::<_, &str>(0), row.get::<_, &str>(1)));
        let types = types.iter().map(|row| (row.get(0), read_type(row, clock))).collect();
        Ok((Seen { answer, jobs, types, turns }, broken.collect()))
    }

    /// A statement that a taken unique key may refuse: with its SQLSTATE, and nothing has changed.
    async fn by_hand(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Result<Vec<Row>, String>, Error> {
        self.client.batch_execute("savepoint by_hand").await?;
        match self.query(sql, parameters).await {
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                self.client.batch_execute("rollback to by_hand").await?;
                Ok(Err(SqlState::UNIQUE_VIOLATION.code().to_owned()))
            }
            rows => Ok(Ok(rows?)),
        }
    }

    async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let known = self.statements.borrow().get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(sql).await?;
                self.statements.borrow_mut().insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        self.client.query(&statement, parameters).await
    }

    async fn one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        Ok(self.query(sql, parameters).await?.remove(0))
    }

    async fn bool(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Answer, Error> {
        Ok(Answer::Bool(self.one(sql, parameters).await?.get(0)))
    }
}

fn payload(aim: &Aim) -> Value {
    match &aim.generation {
        Some(generation) => json!({ "generation_id": generation, "user_id": "user" }),
        None => json!({ "owner": format!("owner-{}", aim.owner) }),
    }
}

fn claimed(row: &Row) -> Claimed {
    Claimed {
        id: row.get(0),
        lease_token: row.get(1),
        lease_seconds: row.get(2),
        attempt_number: row.get(3),
        checkpoint: row.get(4),
        event: row.get(5),
        cancel_requested: row.get(6),
        age_seconds: row.get(7),
        search_from_seconds: row.get(8),
    }
}

fn read_job(row: &Row, clock: Microseconds) -> Result<Job> {
    let status = match row.get(4) {
        "pending" => Status::Pending,
        "processing" => Status::Processing,
        "completed" => Status::Completed,
        "failed" => Status::Failed,
        "cancelled" => Status::Cancelled,
        other => anyhow::bail!("a job is {other}"),
    };
    let time = |column| time(row, column, clock);
    Ok(Job {
        job_type: row.get(1),
        generation: row.get(2),
        unique_key: row.get(3),
        status,
        priority: row.get(5),
        attempt_number: row.get(6),
        max_attempts: row.get(7),
        life: row.get(22),
        lease_token: row.get(8),
        cancel_requested: row.get(9),
        checkpoint: row.get(10),
        event: row.get(11),
        result: row.get(12),
        error_message: row.get(13),
        errors: row.get(14),
        created_at: time(15).context("created_at is null")?,
        scheduled_at: time(16).context("scheduled_at is null")?,
        started_at: time(17),
        first_started_at: time(18),
        completed_at: time(19),
        lease_expires_at: time(20),
        woken_at: time(21),
    })
}

fn read_type(row: &Row, clock: Microseconds) -> JobType {
    JobType {
        lease_seconds: row.get(1),
        backoff_max_seconds: row.get(2),
        starts_per_minute: row.get(3),
        start_tokens: row.get(4),
        paused: row.get(5),
        start_tokens_at: time(row, 6, clock),
        held_until: time(row, 7, clock),
        begun_held_until: time(row, 8, clock),
        fair: row.get(9),
    }
}

/// By the clock, from microseconds from now().
fn time(row: &Row, column: usize, clock: Microseconds) -> Option<Microseconds> {
    row.get::<_, Option<Microseconds>>(column).map(|at| clock + at)
}
