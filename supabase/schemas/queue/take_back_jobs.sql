-- take_back_jobs: puts jobs whose lease has expired back, at most 100, the longest expired first; for claim_jobs, which
-- has the turn.
--
-- attempts left   -> pending, ready now, one entry more in errors
-- attempts spent  -> failed, or cancelled where that was asked for
--
-- Jobs that somebody holds are passed over; one that cannot be put back is that job's trouble.
create or replace function process_jobs.take_back_jobs() returns void
language plpgsql
security definer
-- Triggers of the app's own are fired here, and look for what they name where they always did.
set search_path = pg_catalog, public, extensions, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '20ms'
as $$
declare
  v_lease_expired constant text := 'lease expired on attempt %s of %s: %s';
  -- Of the column's type, which may be an app's own.
  v_pending constant public.job_queue.status%type := 'pending';
  v_cancelled constant public.job_queue.status%type := 'cancelled';
  v_failed constant public.job_queue.status%type := 'failed';
  v_picked uuid[];
  v_part uuid[];
  v_count bigint;
begin
  begin
    select array_agg(expired.id) into v_picked
    from (
      select locked.id
      from (select l.id from process_jobs.lost_jobs l order by l.lease_expires_at limit 100) lost
      cross join lateral (
        select j.id from public.job_queue j
        where j.id = lost.id and j.status is not distinct from 'processing' and j.lease_expires_at <= now()
        for update skip locked
      ) locked
    ) expired;
  exception
    when lock_not_available then
      return;
  end;
  -- All at once; only where that is refused, one by one.
  for v_n in 0 .. coalesce(cardinality(v_picked), 0) loop
    v_part := case when v_n = 0 then v_picked else v_picked[v_n:v_n] end;
    begin
      update public.job_queue j
      set (status, errors, error_message, completed_at, event) = (
          select
            case
              when j.attempt_number < j.max_attempts then v_pending
              when j.cancel_requested_at is not null then v_cancelled
              else v_failed
            end,
            j.errors || jsonb_build_object(
              'attempt', j.attempt_number, 'at', now(), 'kind', 'lease_expired', 'message', why.message),
            why.message,
            case when j.attempt_number < j.max_attempts then null else now() end,
            case when j.attempt_number < j.max_attempts then j.event end
          from (
            select format(v_lease_expired, j.attempt_number, j.max_attempts, coalesce(
              (
                select 'what the run came to could not be recorded: ' || b.message
                from process_jobs.job_troubles b
                where b.job_id = j.id and b.kind = 'settle' and b.lease_token = j.lease_token
              ),
              'the worker was killed or lost'))
          ) why (message)
        ),
        lease_token = null, lease_expires_at = null, updated_at = now(),
        -- As in settle_jobs.
        moves = j.moves + case when j.notify_url is null then 1 else 0 end
      where j.id = any (v_part);
      get diagnostics v_count = row_count;
      if v_count < cardinality(v_part) then
        raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
      end if;
      perform process_jobs.place_jobs(v_part);
      exit when v_n = 0;
    exception
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        elsif v_n > 0 then
          perform process_jobs.note_job_trouble(v_part[1], 'claim', 'it cannot be taken back from a lost worker: ' || sqlerrm);
        end if;
    end;
  end loop;
end
$$;
