-- seen_generation: a generation as its user may see it: the columns of its row that `authenticated` may read, and in any
-- case id and status; without a row, as where the app's own functions write it, the status is that of its last job.
create or replace function process_jobs.seen_generation(p_id text) returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_table regclass := to_regclass('public.image_generations');
  v_row jsonb;
begin
  if process_jobs.column_type('public.image_generations', 'id') is not null then
    execute format('select to_jsonb(g) from public.image_generations g where g.id = %L::%s',
      p_id, process_jobs.column_type('public.image_generations', 'id'))
    into v_row;
  end if;
  return jsonb_build_object(
    'id', coalesce(v_row -> 'id', to_jsonb(p_id)),
    'status', coalesce(v_row -> 'status', (
      select to_jsonb(case j.status when 'pending' then 'queued' else j.status end)
      from public.job_queue j
      where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
      order by j.created_at desc, j.id desc
      limit 1
    ))
  ) || coalesce((
    select jsonb_object_agg(c.key, c.value)
    from jsonb_each(v_row) c
    where has_column_privilege('authenticated', v_table, c.key, 'select')
  ), '{}');
end
$$;
