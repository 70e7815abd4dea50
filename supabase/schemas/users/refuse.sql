-- refuse: raises a refusal that PostgREST answers with this HTTP status: SQLSTATE PT403, PT409, PT429.
--
-- p_detail is for programs: {limit, allowed, used, until}. PostgREST puts the message into the status line too, so it is
-- one short line of ASCII, whatever a caller's texts in it hold.
create or replace function process_jobs.refuse(p_status text, p_message text, p_detail jsonb default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'PT' || p_status,
    message = left(regexp_replace(p_message, '[^ -~]', '?', 'g'), 500),
    detail = coalesce(p_detail::text, '');
end
$$;
