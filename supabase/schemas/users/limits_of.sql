-- limits_of: the limits of the signed-in user, of each column the most specific; applies_to is null if no row applies.
create or replace function process_jobs.limits_of(p_user_id text) returns public.user_limits
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_limits public.user_limits;
begin
  -- Of a key that comes twice the last one counts.
  select r.* into v_limits
  from (
    select jsonb_object_agg(c.key, c.value order by l.applies_to like 'user:%', l.applies_to like 'plan:%') as merged
    from public.user_limits l, jsonb_each(jsonb_strip_nulls(to_jsonb(l))) c
    -- (user_metadata is the user's to write.)
    where l.applies_to in ('all', 'plan:' || (v_claims -> 'app_metadata' ->> 'plan'), 'user:' || p_user_id)
  ) m, jsonb_populate_record(null::public.user_limits, m.merged) r;
  return v_limits;
end
$$;
