-- set_generation_status: sets the status and the progress of an image job's generation, and tells its user; false: it
-- belongs to another user, and nothing changed. Only for apply_image_job; image_writers may name another function for
-- the status.
--
-- A missing row is made from the payload; keys: generation_id, user_id, prompt, negative_prompt, model_id, width,
-- height, num_inference_steps, guidance_scale. Only existing columns are written, with their own types, and with a
-- status that the table accepts (image_tables). A completed generation is not changed. p_prediction_id null keeps the
-- stored one. If another session has locked the row, it waits with p_waits, else it refuses (55P03); if only progress
-- changes, that is left to the next look.
--
-- p_progress, 0 to 99, counts where it is more than the stored one, and is written with a change of status or of five
-- points. A life begins at 0: with `queued`, and with whatever follows `failed` or `cancelled`.
create or replace function process_jobs.set_generation_status(
  p_payload jsonb,
  p_status text,
  p_error_message text,
  p_prediction_id text,
  p_waits boolean,
  p_progress int default null
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
  v_has_progress boolean := v_own is null and coalesce(v_statuses ? 'progress', false);
  v_status text := coalesce(v_statuses ->> p_status, p_status);
  v_message text := coalesce(p_error_message, case when v_status = 'failed' and p_status = 'cancelled' then 'cancelled' end);
  v_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.image_generations', 'id');
  v_user_id text := quote_literal(p_payload ->> 'user_id') || '::'
    || process_jobs.column_type('public.image_generations', 'user_id');
  v_generation jsonb;
  v_is_theirs boolean;
  v_is_ended boolean := false;
  v_changes boolean := false;
  v_kept jsonb;
  v_kept_progress int;
  v_progress int;
  v_is_news boolean;
  v_count bigint;
  v_writes text := coalesce(current_setting('process_jobs.writes', true), '');
begin
  if v_own is not null then
    execute format('select %s($1, $2)', v_own)
    using p_payload, jsonb_build_object(
      'status', p_status, 'error_message', p_error_message, 'replicate_prediction_id', p_prediction_id);
  elsif v_id is null or v_user_id is null then
    raise exception 'public.image_generations is not there, or has no columns id and user_id'
      using errcode = '42P01', hint = 'See process_jobs.image_writers.';
  else
    execute format(
      'select to_jsonb(g), g.user_id is not null and g.user_id <> %s from public.image_generations g where g.id = %s', v_user_id, v_id)
    into v_generation, v_is_theirs;
    if v_is_theirs then
      return false;
    elsif v_generation ->> 'status' = 'completed' then
      return true;
    end if;
    -- What the app has ended is not ended anew.
    v_is_ended := coalesce(p_status = 'cancelled' and v_generation ->> 'status' in ('failed', 'cancelled'), false);
    if v_is_ended then
      p_status := v_generation ->> 'status';
      v_status := p_status;
      v_message := v_generation ->> 'error_message';
    else
      v_changes := (v_generation ->> 'status' = v_status and v_generation ->> 'error_message' is not distinct from v_message
        and (p_prediction_id is null or v_generation ->> 'replicate_prediction_id' = p_prediction_id)) is not true;
    end if;
  end if;

  if v_has_progress then
    v_kept := v_generation;
  else
    select to_jsonb(p) into v_kept
    from public.generation_progress p
    where p.user_id = p_payload ->> 'user_id' and p.generation_id = p_payload ->> 'generation_id';
  end if;
  v_kept_progress := greatest(0, least(100, coalesce((v_kept ->> 'progress')::bigint, 0)));
  v_progress := case
    when p_status = 'queued' then 0
    when p_status in ('failed', 'cancelled') then v_kept_progress
    when v_kept ->> 'status' in ('failed', 'cancelled', 'completed') then coalesce(p_progress, 0)
    else greatest(v_kept_progress, p_progress)
  end;
  v_is_news := v_is_ended or abs(v_progress - v_kept_progress) >= 5
    or v_kept ->> 'status' is distinct from case when v_has_progress then v_status else p_status end;

  -- Most claims and parks change nothing here, and then lock nothing either.
  if v_changes or v_has_progress and v_is_news and v_progress <> v_kept_progress then
    perform set_config('process_jobs.writes', 'on', true);
    if v_generation is not null then
      if not p_waits then
        execute format('select from public.image_generations g where g.id = %s for no key update %s',
          v_id, case when v_changes then 'nowait' else 'skip locked' end);
        get diagnostics v_count = row_count;
      end if;
      if v_count is distinct from 0 then
        execute (
          select format('update public.image_generations g set %s where g.id = %s and g.status::text <> ''completed''',
            string_agg(format('%s = %s', c.name, c.literal), ', '), v_id)
          from process_jobs.fitting_columns('public.image_generations', jsonb_build_object(
            'status', v_status, 'error_message', v_message, 'updated_at', now()
          ) || case
            when p_prediction_id is null then '{}'
            else jsonb_build_object('replicate_prediction_id', p_prediction_id)
          end || case when v_has_progress and v_is_news then jsonb_build_object('progress', v_progress) else '{}' end) c);
        get diagnostics v_count = row_count;
      end if;
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
            'status', v_status, 'error_message', v_message, 'replicate_prediction_id', p_prediction_id,
            'progress', case when v_has_progress then v_progress end))) c);
      exception
        -- Somebody was faster.
        when unique_violation then
          v_count := 0;
      end;
    end if;
    perform set_config('process_jobs.writes', v_writes, true);
  end if;
  if v_is_news and v_count is distinct from 0 then
    perform process_jobs.tell_generation(p_payload, p_status, v_message, v_progress, null, v_has_progress);
  end if;
  return true;
end
$$;
