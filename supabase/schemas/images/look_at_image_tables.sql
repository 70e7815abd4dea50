-- look_at_image_tables: pauses generate-image while no picture can be recorded in the image tables, so that none is
-- paid for in vain, and resumes it once they can; returns the reason, or null if they can.
--
-- The tables are tried (rehearse_image_tables) if they have changed since, failed the last time, or with p_anew. A
-- pause by a person stays.
create or replace function process_jobs.look_at_image_tables(p_anew boolean default false) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text;
begin
  if not p_anew and exists (
    select from process_jobs.image_tables t
    where t.tried and t.refusal is null and t.shape = process_jobs.image_tables_shape()
  ) then
    return null;
  end if;
  v_refusal := process_jobs.rehearse_image_tables();
  update public.job_types t
  set paused_at = case when v_refusal is not null then coalesce(t.paused_at, now()) end, paused_reason = left(v_refusal, 2000)
  where t.job_type = 'generate-image' and (t.paused_at is null or t.paused_reason like 'the image tables take no picture: %')
    and t.paused_reason is distinct from left(v_refusal, 2000);
  return v_refusal;
end
$$;
