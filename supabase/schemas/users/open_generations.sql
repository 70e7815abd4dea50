-- open_generations: how many generations that a user has asked for have not ended.
create or replace function process_jobs.open_generations(p_user_id text) returns bigint
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
begin
  return (
    select count(distinct r.generation_id)
    from process_jobs.requests r
    where r.user_id = p_user_id and r.ended_at is null and process_jobs.is_under_way(r.generation_id)
  );
end
$$;
