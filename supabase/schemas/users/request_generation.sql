-- request_generation: enqueues a generate-image job for the signed-in user and returns its generation, as they may see
-- it: {id, status, …}.
--
-- p_prompt    not empty
-- p_model_id  owner/name, owner/name:version or a version alone; where the user's models are limited, one of them, exactly
--             as it is listed
-- p_options   negative_prompt, width, height, num_inference_steps, guidance_scale, seed, output_format, num_outputs,
--             source_image_url, source_image_urls and strength of a generate-image payload, and
--             priority         higher runs first; 0 by default
--             idempotency_key  1 to 200 characters: the same request with the same key is the same generation, as long as
--                              its jobs are kept
--             notify_url       a public https address that is told of the end (deliver-webhook)
--
-- Refuses (22023) arguments out of these bounds, naming the field; (PT403) what is not the user's, or more than they may
-- ask for; (PT409) another request with a key that has been used; (PT429) more than they may ask for now; and with their
-- own error, what the tables refuse.
create or replace function public.request_generation(p_prompt text, p_model_id text, p_options jsonb default '{}') returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_options jsonb := process_jobs.read_options(p_options);
  v_key text := v_options ->> 'idempotency_key';
  v_priority int := coalesce((v_options ->> 'priority')::int, 0);
  v_payload jsonb := jsonb_build_object('prompt', p_prompt, 'model_id', p_model_id)
    || (v_options - '{priority,idempotency_key,notify_url}'::text[]);
  v_hash bytea := sha256(convert_to(jsonb_build_array(v_payload, v_priority, v_options -> 'notify_url')::text, 'UTF8'));
  v_limits public.user_limits := process_jobs.limits_of(v_user_id);
  v_before record;
  v_begins_at timestamptz;
  v_id text;
begin
  -- (What a worker takes for blanks: Unicode's White_Space.)
  if coalesce(btrim(p_prompt, E' \t\n\u000b\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'), '') = '' then
    raise exception 'p_prompt is empty' using errcode = '22023';
  elsif (p_model_id ~ '^([A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(:[0-9a-f]{64})?|[0-9a-f]{64})$') is not true then
    raise exception 'p_model_id must be owner/name, owner/name:version or a version of 64 lowercase hex digits'
      using errcode = '22023';
  elsif process_jobs.json_refusal('the request', v_payload) is not null then
    raise exception '%', process_jobs.json_refusal('the request', v_payload) using errcode = '22023';
  end if;

  perform process_jobs.take_users_turn(v_user_id);
  if v_key is not null then
    select r.* into v_before from process_jobs.requests r where r.user_id = v_user_id and r.idempotency_key = v_key;
    if found and v_before.request_hash <> v_hash then
      perform process_jobs.refuse('409', format('idempotency_key: %s was used for another request', to_json(v_key)));
    elsif found then
      return process_jobs.seen_generation(v_before.generation_id);
    end if;
  end if;
  perform process_jobs.check_user_limits(v_user_id, v_payload, v_priority);
  v_begins_at := process_jobs.check_budget(v_user_id, v_limits.max_cost_per_month, v_limits.over_budget);
  perform process_jobs.check_source_address(v_user_id, s.url, 'p_options: ' || s.field)
  from (
    select v_payload ->> 'source_image_url', 'source_image_url' where v_payload ? 'source_image_url'
    union all
    select u.url, format('source_image_urls[%s]', u.n - 1)
    from jsonb_array_elements_text(coalesce(v_payload -> 'source_image_urls', '[]')) with ordinality u (url, n)
  ) s (url, field);

  v_id := process_jobs.new_generation_id();
  insert into process_jobs.requests (user_id, generation_id, idempotency_key, request_hash)
  values (v_user_id, v_id, v_key, v_hash);
  perform process_jobs.insert_job(
    'generate-image', v_payload || jsonb_build_object('generation_id', v_id, 'user_id', v_user_id), v_priority, null, v_begins_at, null, v_user_id,
    v_options ->> 'notify_url');
  return process_jobs.seen_generation(v_id);
end
$$;

revoke execute on function public.request_generation(text, text, jsonb) from public, anon, service_role;
grant execute on function public.request_generation(text, text, jsonb) to authenticated;
