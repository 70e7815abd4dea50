-- The places of jobs: narrow tables that say where each job stands, so that job_queue has no index on what changes in a
-- job's life, and its updates are HOT.
--
-- ready_jobs       pending and due: found in the claim's order by (job_type, lane, rank, created_at, id)
-- waiting_jobs     pending, and not due before due_at. A claim moves those that have fallen due to ready_jobs
-- leases           one row a claim: its token, its jobs, and a time before which none of their leases ends. A row is
--                  passed over while its jobs run, and looked at when its time has come (sweep_leases)
-- failed_jobs      the failed ones, by when they failed
-- unfinished_keys  the unique keys of unfinished jobs, and while jobs are inserted those reserved for them, some without id
-- marks            of a lane in which a claim had to pass over many entries that were gone already: before (rank,
--                  created_at, id) there was none, so claims begin there until look_at (raise_marks, lower_marks)
-- time_marks       the same of waiting_jobs and leases, by their times
-- turns            of a type with a fair_key, by priority and owner: the last turn that was given, and how many with it.
--                  The owner is a hash of what the payload has under that key
--
-- lane  0: has not begun, 1: has begun, 2: has begun and was woken
-- rings  true of the one job for which its transaction rings (ring_at_commit)
-- rank  the lower, the sooner. -priority; where the type has priority_ages_seconds, the microsecond of created_at less
--       priority times as many; in lane 0 of a type that has a fair_key, -priority * 2^31 and the job's turn: 0 for one that
--       comes back, else as place_in_turn has given it, and null while it waits
--
-- claim_jobs, settle_jobs and take_back_jobs move jobs from one place to another and raise job_queue.moves with it;
-- after any other change of rows the triggers of keep_places.sql do. Whoever changes the places of a job has its row locked
-- (a claim that moves what has fallen due has the entry locked instead, and waits for no row).
create table if not exists process_jobs.ready_jobs (
  id uuid primary key,
  job_type text collate "C" not null,
  lane smallint not null,
  rings boolean not null default false,
  rank bigint not null,
  created_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
alter table process_jobs.ready_jobs add column if not exists rings boolean not null default false;
create index if not exists ready_jobs_order on process_jobs.ready_jobs (job_type, lane, rank, created_at, id);

create table if not exists process_jobs.waiting_jobs (
  id uuid primary key,
  job_type text collate "C" not null,
  lane smallint not null,
  due_at timestamptz not null,
  rank bigint,
  created_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
create index if not exists waiting_jobs_due on process_jobs.waiting_jobs (due_at);
-- (With the id, which no other index has in an order, so that no statistics make another one look as good.)
create index if not exists waiting_jobs_order on process_jobs.waiting_jobs (job_type, lane, due_at, id);

create table if not exists process_jobs.leases (
  token uuid primary key,
  expires_at timestamptz not null,
  jobs uuid[] not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
create index if not exists leases_expire on process_jobs.leases (expires_at);

create table if not exists process_jobs.failed_jobs (
  id uuid primary key,
  job_type text collate "C" not null,
  failed_at timestamptz
);
create index if not exists failed_jobs_order on process_jobs.failed_jobs (failed_at);

create table if not exists process_jobs.unfinished_keys (
  job_type text collate "C" not null,
  unique_key text collate "C" not null,
  id uuid,
  constraint job_queue_unique_unfinished primary key (job_type, unique_key)
);

create table if not exists process_jobs.marks (
  job_type text collate "C" not null,
  lane smallint not null,
  rank bigint not null,
  created_at timestamptz not null,
  id uuid not null,
  look_at timestamptz not null,
  primary key (job_type, lane)
);

create table if not exists process_jobs.time_marks (
  place text primary key,
  begins_at timestamptz not null,
  look_at timestamptz not null
);

create table if not exists process_jobs.turns (
  job_type text collate "C" not null,
  priority int not null,
  owner bigint not null,
  turn bigint not null,
  jobs bigint not null,
  primary key (job_type, priority, owner)
);
-- (Of all rows, but told so that no plan takes it for the key.)
create index if not exists turns_last on process_jobs.turns (job_type, priority, turn) where turn > 0;

-- begins: before these times waiting_jobs and leases have had nothing lately.
create or replace view process_jobs.begins as
select
  coalesce((select m.begins_at from process_jobs.time_marks m where m.place = 'leases' and m.look_at > now()), '-infinity')
    as leases,
  coalesce((select m.begins_at from process_jobs.time_marks m where m.place = 'waiting_jobs' and m.look_at > now()), '-infinity')
    as waiting_jobs;

-- places: where each pending job belongs.
create or replace view process_jobs.places as
select j.id, j.job_type::text collate "C" as job_type,
  case when j.checkpoint is null then 0 when j.woken_at is null then 1 else 2 end::smallint as lane,
  case
    when t.fair_key is not null and j.checkpoint is null then
      case
        when j.first_started_at is null or j.life > 1 and j.started_at is null then null
        else -j.priority::bigint << 31
      end
    when t.priority_ages_seconds is null then -j.priority::bigint
    else (extract(epoch from j.created_at) * 1000000 - j.priority * t.priority_ages_seconds * 1000000)::bigint
  end as rank,
  j.created_at, j.scheduled_at as due_at, t.fair_key is not null and j.checkpoint is null as is_fair, j.priority
from public.job_queue j
left join public.job_types t on t.job_type = j.job_type
where j.status = 'pending';

-- jobs_at_work: the jobs under a lease.
create or replace view process_jobs.jobs_at_work as
select j.id, j.job_type, j.lease_expires_at
from process_jobs.leases l
cross join lateral unnest(l.jobs) at_work (id)
join public.job_queue j on j.id = at_work.id
where j.status = 'processing' and j.lease_token = l.token;

-- lost_jobs: the jobs at work whose lease has expired, but for those that the database refused to take back a moment ago.
create or replace view process_jobs.lost_jobs as
select lost.id, lost.lease_expires_at
from process_jobs.leases l
cross join lateral (
  select j.id, j.lease_expires_at
  from public.job_queue j
  where j.id = any (l.jobs) and j.status = 'processing' and j.lease_token = l.token and j.lease_expires_at <= now()
    and not exists (
      select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
  offset 0
) lost
where l.expires_at <= now() and l.expires_at >= (select b.leases from process_jobs.begins b);
