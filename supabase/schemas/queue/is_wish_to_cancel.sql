-- is_wish_to_cancel: whether this update, of an app's own, only asks for the job's cancel (keep_places).
create or replace function process_jobs.is_wish_to_cancel(p_old public.job_queue, p_new public.job_queue) returns boolean
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_new.status = 'cancelled' and p_old.status in ('pending', 'processing') and p_new.moves <= p_old.moves
    and p_new.lease_token is not distinct from p_old.lease_token
    and not (p_old.attempt_number = 0 and p_old.checkpoint is null and p_old.lease_token is null);
end
$$;
