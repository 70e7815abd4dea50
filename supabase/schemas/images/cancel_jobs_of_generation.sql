-- cancel_jobs_of_generation: trigger on image_generations. If the app sets a generation to failed or cancelled, its
-- jobs are cancelled: nothing more is paid for it, and no picture appears after it.
--
-- A job that another transaction has locked is cancelled later (job_troubles of kind cancel); if its picture is just
-- being recorded, the picture is not written.
create or replace function process_jobs.cancel_jobs_of_generation() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
begin
  if coalesce(current_setting('process_jobs.writes', true), '') = 'on' then
    return null;
  end if;
  for v_job_id in
    select j.id
    from public.job_queue j
    where j.payload ->> 'generation_id' = new.id::text and j.status in ('pending', 'processing')
      and j.job_type in ('generate-image', 'download-image')
  loop
    begin
      perform from public.job_queue j where j.id = v_job_id for update nowait;
      perform public.cancel_job(v_job_id);
    exception
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        end if;
        perform process_jobs.note_job_trouble(v_job_id, 'cancel', 'its generation was ended by the app: ' || sqlerrm);
    end;
  end loop;
  return null;
end
$$;
