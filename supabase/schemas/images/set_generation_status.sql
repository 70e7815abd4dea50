-- set_generation_status: brings the generation of an image job to a status; for apply_image_job only.
--
-- The row is made from the payload where it is missing; keys: generation_id, user_id, prompt,
-- negative_prompt, model_id, width, height, num_inference_steps, guidance_scale. Numbers that do not fit
-- become null. A completed generation and one of another user stay as they are. p_prediction_id null
-- keeps the stored one. Where another session has the row: p_waits, or it is refused (55P03).

create or replace function process_jobs.set_generation_status(
  p_payload jsonb,
  p_status text,
  p_error_message text,
  p_prediction_id text,
  p_waits boolean
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- By its key, whatever the statistics say: they may be of when the table was empty. (Not with = beside the id, which
-- would let a planner go through all rows of a user.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_generation_id public.image_generations.id%type := p_payload ->> 'generation_id';
  v_user_id public.image_generations.user_id%type := p_payload ->> 'user_id';
begin
  -- Most claims and parks change nothing here, and then lock nothing either.
  if exists (
    select from public.image_generations g
    where g.id = v_generation_id and g.user_id is not distinct from v_user_id and g.status = p_status
      and g.error_message is not distinct from p_error_message
      and (p_prediction_id is null or g.replicate_prediction_id = p_prediction_id)
  ) then
    return;
  end if;

  if not p_waits then
    perform from public.image_generations g
    where g.id = v_generation_id and g.user_id is not distinct from v_user_id and g.status <> 'completed'
    for no key update nowait;
  end if;

  update public.image_generations g
  set status = p_status,
    error_message = p_error_message,
    replicate_prediction_id = coalesce(p_prediction_id, g.replicate_prediction_id),
    updated_at = now()
  where g.id = v_generation_id and g.user_id is not distinct from v_user_id and g.status <> 'completed';
  if found then
    return;
  end if;

  insert into public.image_generations (
    id, user_id, prompt, negative_prompt, model, width, height, steps, guidance_scale,
    status, error_message, replicate_prediction_id
  )
  select v_generation_id, v_user_id, p_payload ->> 'prompt', p_payload ->> 'negative_prompt', p_payload ->> 'model_id',
    number.width, number.height, number.num_inference_steps, number.guidance_scale,
    p_status, p_error_message, p_prediction_id
  from (
    select
      max(n.value) filter (where n.key = 'width')::int as width,
      max(n.value) filter (where n.key = 'height')::int as height,
      max(n.value) filter (where n.key = 'num_inference_steps')::int as num_inference_steps,
      max(n.value) filter (where n.key = 'guidance_scale') as guidance_scale
    from (
      select p.key, case when jsonb_typeof(p.value) = 'number' then p.value::text::numeric end as value
      from jsonb_each(p_payload) p
    ) n
    where n.value between 0 and 1000000
  ) number
  on conflict (id) do nothing;
end
$$;
