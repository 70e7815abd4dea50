-- 0.1.0, for databases of its development: where a job stands is in narrow tables (places.sql) instead of six indexes of
-- job_queue, and rows are checked when they are made or changed by hand (keep_places). Jobs of every state get their places
-- at the end (moved_in.sql).
drop function if exists public.claim_next_job(text[], int, int, jsonb), public.exchange_jobs(jsonb, text[], int),
  public.enqueue_job(text, jsonb, int, int, timestamptz, text);

do $$
begin
  if exists (select from process_jobs.releases) and process_jobs.column_type('public.job_queue', 'notify_url') is null then
    alter table public.job_queue add column notify_url text, add column notify_user text;
    if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
      insert into process_jobs.undo (statement) values
        ('alter table public.job_queue drop column if exists notify_url, drop column if exists notify_user');
    end if;
  end if;
end
$$;

do $$
begin
  if process_jobs.column_type('public.job_queue', 'delayed') is null then
    return;
  end if;
  drop view if exists process_jobs.kinds;
  drop trigger if exists process_jobs_keep_lease on public.job_queue;
  drop trigger if exists process_jobs_note_cancel on public.job_queue;
  drop trigger if exists process_jobs_keep_cancel_a_wish on public.job_queue;
  drop trigger if exists process_jobs_check_payload on public.job_queue;
  drop function if exists process_jobs.keep_lease_of_job_put_back(), process_jobs.note_cancel(), process_jobs.keep_cancel_a_wish();
  drop index if exists public.job_queue_claim_order, public.job_queue_next_due, public.job_queue_woken,
    public.job_queue_lease_expiry, public.job_queue_failed, public.job_queue_unique_unfinished, public.job_queue_generation;
  alter table public.job_queue
    drop constraint if exists job_queue_status_is_known, drop constraint if exists job_queue_processing_has_lease,
    drop constraint if exists job_queue_attempts_within_max, drop constraint if exists job_queue_progress_is_percent,
    drop constraint if exists job_queue_errors_is_array, drop constraint if exists job_queue_scheduled_at_finite,
    drop constraint if exists job_queue_times_are_finite, drop constraint if exists job_queue_unique_key_length,
    drop column begun, drop column delayed,
    add column moves int not null default 0;
  alter table if exists public.job_types
    add column priority_ages_seconds double precision,
    add constraint job_types_priority_ages_bounded check (priority_ages_seconds between 0.001 and 1000000);

  alter table public.job_queue set (fillfactor = 50);
  if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
    insert into process_jobs.undo (statement)
    select unnest('{alter table public.job_queue drop column if exists moves,alter table public.job_queue reset (fillfactor)}'::text[]);
  end if;
  perform set_config('process_jobs.places', 'to be filled', true);
end
$$;
