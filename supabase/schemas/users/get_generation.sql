-- get_generation: where a generation of the signed-in user stands, as long as its jobs are kept: {id, user_id, status,
-- progress, error_message?, usual_seconds?, images?}; null: there is none, or it is somebody else's.
--
-- The same whatever the app's tables look like, and what Realtime tells on the topic process-jobs:<user_id>
-- (tell_generation): status queued, processing, downloading, completed, failed or cancelled; progress 0 to 100; images of
-- a completed one, [{filename, storage_path, public_url, width, height, format}].
create or replace function public.get_generation(p_id text) returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_job record;
  v_row jsonb;
  v_status text;
  v_progress int;
begin
  select j.status::text, j.result, j.error_message, j.payload ->> 'model_id' as model into v_job
  from public.job_queue j
  where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
    and j.payload ->> 'user_id' = v_user_id
  order by j.created_at desc, j.id desc
  limit 1;
  if not found then
    return null;
  end if;
  if process_jobs.column_type('public.image_generations', 'id') is not null
    and not exists (select from process_jobs.image_writers w where w.writes = 'generation')
  then
    execute format('select to_jsonb(g) from public.image_generations g where g.id = %L::%s',
      p_id, process_jobs.column_type('public.image_generations', 'id'))
    into v_row;
    if v_row ->> 'user_id' is distinct from v_user_id then
      v_row := null;
    end if;
  end if;
  if v_row is not null and (select t.statuses ? 'progress' from process_jobs.image_tables t) then
    v_progress := v_row ->> 'progress';
    -- (The app's table may have no word of its own for two of them.)
    v_status := case
      when v_row ->> 'status' = 'failed' and v_job.status = 'cancelled' then 'cancelled'
      else nullif(v_row ->> 'status', 'pending')
    end;
  else
    select g.status, g.progress into v_status, v_progress
    from public.generation_progress g
    where g.user_id = v_user_id and g.generation_id = p_id;
  end if;
  v_status := coalesce(v_status, case v_job.status when 'pending' then 'queued' else v_job.status end);
  return jsonb_strip_nulls(jsonb_build_object(
    'id', p_id, 'user_id', v_user_id, 'status', v_status,
    'progress', greatest(0, least(100, coalesce(v_progress, 0))),
    'error_message', case
      when v_status in ('failed', 'cancelled') then coalesce(v_row ->> 'error_message', v_job.error_message)
    end,
    'usual_seconds', case when v_status = 'processing' then (
      select t.seconds from process_jobs.model_times t where t.model = v_job.model)
    end,
    'images', case
      when v_status <> 'completed' then null
      when jsonb_typeof(v_job.result -> 'images') = 'array' then process_jobs.told_images(v_job.result -> 'images')
      when v_job.result ->> 'storage_path' is not null then process_jobs.told_images(jsonb_build_array(v_job.result))
    end));
end
$$;

revoke execute on function public.get_generation(text) from public, anon, service_role;
grant execute on function public.get_generation(text) to authenticated;
