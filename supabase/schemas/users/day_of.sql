-- day_of: a user's requests of the last 24 hours, and when one more is possible under a limit; null: now, or never.
create or replace function process_jobs.day_of(p_user_id text, p_limit int) returns table (used bigint, until timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select count(*), min(d.created_at) filter (where d.place = p_limit) + interval '24 hours'
  from (
    select r.created_at, row_number() over (order by r.created_at desc, r.n desc) as place
    from process_jobs.requests r
    where r.user_id = p_user_id and r.created_at > now() - interval '24 hours'
  ) d;
end
$$;
