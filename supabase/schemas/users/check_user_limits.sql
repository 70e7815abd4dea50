-- check_user_limits: refuses what goes beyond the limits of the signed-in user; p_payload is that of a generate-image
-- job, p_priority null is not looked at. Only for functions that hold the user's turn (take_users_turn).
--
-- Refuses (PT403) what the user may never ask for, (PT429) what they may ask for later. The detail tells the limit,
-- what is allowed and used, and until when.
create or replace function process_jobs.check_user_limits(p_user_id text, p_payload jsonb, p_priority int) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits public.user_limits := process_jobs.limits_of(p_user_id);
  v_model text := p_payload ->> 'model_id';
  v_pixels numeric := coalesce(process_jobs.plain_number(p_payload -> 'width'), 1024)
    * coalesce(process_jobs.plain_number(p_payload -> 'height'), 1024);
  v_outputs numeric := coalesce(process_jobs.plain_number(p_payload -> 'num_outputs'), 1);
  v_max_priority int := coalesce(v_limits.max_priority, 0);
  v_open text[];
  v_used bigint;
  v_until timestamptz;
begin
  if v_limits.applies_to is null then
    perform process_jobs.refuse('403', 'requests are not open to you: no row of user_limits applies; whoever runs the project adds one');
  elsif 0 in (v_limits.max_open, v_limits.max_per_day) then
    perform process_jobs.refuse('403', 'requests are closed to you: max_open or max_per_day is 0');
  elsif v_model <> all (v_limits.allowed_models) then
    perform process_jobs.refuse('403', format('p_model_id: %s is not among the models that you may use: %s',
      left(v_model, 100), coalesce(nullif(array_to_string(v_limits.allowed_models, ', '), ''), 'none')),
      jsonb_build_object('limit', 'allowed_models', 'allowed', v_limits.allowed_models));
  elsif v_pixels > v_limits.max_pixels then
    perform process_jobs.refuse('403', format('width x height: %s pixels are more than the %s that you may ask for', v_pixels, v_limits.max_pixels),
      jsonb_build_object('limit', 'max_pixels', 'allowed', v_limits.max_pixels));
  elsif v_outputs > v_limits.max_outputs then
    perform process_jobs.refuse('403', format('num_outputs: %s are more than the %s that you may ask for', v_outputs, v_limits.max_outputs),
      jsonb_build_object('limit', 'max_outputs', 'allowed', v_limits.max_outputs));
  elsif p_priority > v_max_priority then
    perform process_jobs.refuse('403', format('priority: %s is more than the %s that you may ask for', p_priority, v_max_priority),
      jsonb_build_object('limit', 'max_priority', 'allowed', v_max_priority));
  end if;

  if v_limits.max_open is not null then
    v_open := process_jobs.open_generations(p_user_id);
    -- What has ended since the last request is not looked at again.
    update process_jobs.requests r
    set ended_at = now()
    where r.user_id = p_user_id and r.ended_at is null and r.generation_id <> all (v_open);
    v_used := cardinality(v_open);
    if v_used >= v_limits.max_open then
      perform process_jobs.refuse('429', format('%s of your %s generations at once are under way: ask again when one has ended', v_used, v_limits.max_open),
        jsonb_build_object('limit', 'max_open', 'allowed', v_limits.max_open, 'used', v_used));
    end if;
  end if;

  if v_limits.max_per_day is not null then
    select d.used, d.until into v_used, v_until from process_jobs.day_of(p_user_id, v_limits.max_per_day) d;
    if v_used >= v_limits.max_per_day then
      perform process_jobs.refuse('429', format('%s of your %s requests in 24 hours are used: the next is possible %s', v_used, v_limits.max_per_day,
        to_char(v_until at time zone 'UTC', '"at" YYYY-MM-DD"T"HH24:MI:SS"Z"')),
        jsonb_build_object('limit', 'max_per_day', 'allowed', v_limits.max_per_day, 'used', v_used, 'until', v_until));
    end if;
  end if;
end
$$;
