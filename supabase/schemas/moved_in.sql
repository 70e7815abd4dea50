-- What is said and tried when all is there.
do $$
declare
  v_refusal text;
begin
  if not exists (select from process_jobs.releases) then
    -- Jobs of a type without a handler wait, and more of them may be enqueued, as before.
    insert into public.job_types (job_type)
    select distinct j.job_type from public.job_queue j
    on conflict (job_type) do nothing;
    if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
      v_refusal := process_jobs.rehearse_queue();
      if v_refusal is not null then
        raise exception E'process-jobs cannot move in:\n- %', v_refusal using errcode = '55000';
      end if;
    end if;
  end if;

  perform process_jobs.follow_image_generations();
  v_refusal := process_jobs.look_at_image_tables(true);
  if v_refusal is not null then
    raise warning 'generate-image is paused: %', v_refusal;
  end if;
end
$$;
