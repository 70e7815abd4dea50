-- set_generation_status: sets the status of an image job's generation; false: it belongs to another user, and nothing
-- changed. Only for apply_image_job; image_writers may name another function for this.
--
-- A missing row is made from the payload; keys: generation_id, user_id, prompt, negative_prompt, model_id, width,
-- height, num_inference_steps, guidance_scale. Only existing columns are written, with their own types, and with a
-- status that the table accepts (image_tables). A completed generation is not changed. p_prediction_id null keeps the
-- stored one. If another session has locked the row, it waits with p_waits, else it refuses (55P03).
create or replace function process_jobs.set_generation_status(
  p_payload jsonb,
  p_status text,
  p_error_message text,
  p_prediction_id text,
  p_waits boolean
) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_own text := (select w.function_name from process_jobs.image_writers w where w.writes = 'generation');
  v_statuses jsonb := (select t.statuses from process_jobs.image_tables t);
  v_status text := coalesce(v_statuses ->> p_status, p_status);
  v_message text := coalesce(p_error_message, case when v_status = 'failed' and p_status = 'cancelled' then 'cancelled' end);
  v_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.image_generations', 'id');
  v_user_id text := quote_literal(p_payload ->> 'user_id') || '::'
    || process_jobs.column_type('public.image_generations', 'user_id');
  v_generation jsonb;
  v_is_theirs boolean;
  v_writes text := coalesce(current_setting('process_jobs.writes', true), '');
begin
  if v_own is not null then
    execute format('select %s($1, $2)', v_own)
    using p_payload, jsonb_build_object(
      'status', p_status, 'error_message', p_error_message, 'replicate_prediction_id', p_prediction_id);
    return true;
  elsif v_id is null or v_user_id is null then
    raise exception 'public.image_generations is not there, or has no columns id and user_id'
      using errcode = '42P01', hint = 'See process_jobs.image_writers.';
  end if;

  execute format(
    'select to_jsonb(g), g.user_id is not null and g.user_id <> %s from public.image_generations g where g.id = %s', v_user_id, v_id)
  into v_generation, v_is_theirs;
  if v_is_theirs then
    return false;
  end if;
  -- Most claims and parks change nothing here, and then lock nothing either. What the app has ended is not ended anew.
  if v_generation ->> 'status' = 'completed'
    or v_generation ->> 'status' = v_status and v_generation ->> 'error_message' is not distinct from v_message
      and (p_prediction_id is null or v_generation ->> 'replicate_prediction_id' = p_prediction_id)
    or p_status = 'cancelled' and v_generation ->> 'status' in ('failed', 'cancelled')
  then
    return true;
  end if;

  perform set_config('process_jobs.writes', 'on', true);
  if v_generation is not null then
    if not p_waits then
      execute format('select from public.image_generations g where g.id = %s for no key update nowait', v_id);
    end if;
    execute (
      select format('update public.image_generations g set %s where g.id = %s and g.status::text <> ''completed''',
        string_agg(format('%s = %s', c.name, c.literal), ', '), v_id)
      from process_jobs.fitting_columns('public.image_generations', jsonb_build_object(
        'status', v_status, 'error_message', v_message, 'updated_at', now()
      ) || case
        when p_prediction_id is null then '{}'
        else jsonb_build_object('replicate_prediction_id', p_prediction_id)
      end) c);
  else
    begin
      execute (
        select format('insert into public.image_generations (%s) values (%s)',
          string_agg(c.name, ', '), string_agg(c.literal, ', '))
        from process_jobs.fitting_columns('public.image_generations', jsonb_strip_nulls(jsonb_build_object(
          'id', p_payload ->> 'generation_id', 'user_id', p_payload ->> 'user_id', 'prompt', p_payload ->> 'prompt',
          'negative_prompt', p_payload ->> 'negative_prompt',
          'model', case
            when v_statuses ? 'model' then process_jobs.model_name(p_payload ->> 'model_id')
            else p_payload ->> 'model_id'
          end,
          'width', process_jobs.plain_number(p_payload -> 'width'), 'height', process_jobs.plain_number(p_payload -> 'height'),
          'steps', process_jobs.plain_number(p_payload -> 'num_inference_steps'),
          'guidance_scale', process_jobs.plain_number(p_payload -> 'guidance_scale'),
          'status', v_status, 'error_message', v_message, 'replicate_prediction_id', p_prediction_id))) c);
    exception
      -- Somebody was faster.
      when unique_violation then
        null;
    end;
  end if;
  perform set_config('process_jobs.writes', v_writes, true);
  return true;
end
$$;
