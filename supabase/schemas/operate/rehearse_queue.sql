-- rehearse_queue: writes like the worker with jobs of each image type, each to another end, and like prune_jobs, in a
-- job_queue that was an app's before, and undoes it. Returns why that fails, or null if it works.
create or replace function process_jobs.rehearse_queue() returns text
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  v_job_id uuid;
  v_step record;
  v_count bigint;
begin
  for v_step in
    select t.job_type, s.status
    from (values ('generate-image'), ('download-image')) t (job_type)
    cross join (values (1, 'completed'), (2, 'failed'), (3, 'cancelled')) e (n, ended)
    cross join lateral (values (1, 'enqueued'), (2, 'processing'), (3, 'pending'), (4, 'processing'), (5, e.ended), (6, 'deleted')) s (n, status)
    order by t.job_type, e.n, s.n
  loop
    if v_step.status = 'enqueued' then
      v_job_id := public.enqueue_job(v_step.job_type, '{}');
    elsif v_step.status = 'deleted' then
      delete from public.job_queue j where j.id = v_job_id;
    else
      execute format(
        'update public.job_queue set status = %L, attempt_number = attempt_number + 1, max_attempts = 9, updated_at = now(),
          lease_token = %s, lease_expires_at = now(), checkpoint = $1, progress = 1, errors = $2 where id = $3',
        v_step.status, case when v_step.status = 'processing' then 'gen_random_uuid()' else 'null' end)
      using '{"a": 1}'::jsonb, '[{"a": 1}]'::jsonb, v_job_id;
      get diagnostics v_count = row_count;
      if v_count = 0 then
        raise exception 'a trigger lets its row be as it is';
      end if;
    end if;
    set constraints all immediate;
  end loop;
  raise exception using errcode = 'PJ000';
exception
  when sqlstate 'PJ000' then
    return null;
  when others then
    if process_jobs.is_server_state(sqlstate) then
      raise;
    end if;
    return format('public.job_queue refuses a job %s of type %s: %s', v_step.status, v_step.job_type, sqlerrm);
end
$$;
