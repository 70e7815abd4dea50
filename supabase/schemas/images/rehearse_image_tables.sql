-- rehearse_image_tables: writes like image jobs, bringing a generation through all its states to two stored pictures,
-- and undoes it; returns why that fails and what to do, or null if it works. Records the findings in image_tables.
--
-- It tries a generation made by process-jobs first, then a copy of an existing one: if an app makes all its generations
-- itself, it may have columns that only it can fill. A progress of whole numbers is tried too, and left alone if that is
-- refused. If there is no user for it yet, nothing is tried.
create or replace function process_jobs.rehearse_image_tables() returns text
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_shape text := process_jobs.image_tables_shape();
  v_statuses jsonb := '{}';
  v_tried boolean := true;
  v_refusal text;
  v_id_type text := process_jobs.column_type('public.image_generations', 'id');
  v_user_id_type text := process_jobs.column_type('public.image_generations', 'user_id');
  v_reference record;
  v_ids text[];
  v_user_id text;
  v_payload jsonb;
  v_way record;
  v_kept jsonb;
  v_step record;
  v_images constant jsonb := '[
    {"filename": "rehearsal.png", "storage_path": "rehearsal/rehearsal.png", "public_url": "https://rehearsal.invalid/rehearsal.png",
     "file_size": 1, "width": 1, "height": 1, "format": "png"},
    {"filename": "rehearsal.2.png", "storage_path": "rehearsal/rehearsal.2.png", "public_url": "https://rehearsal.invalid/rehearsal.2.png",
     "file_size": 1, "width": 1, "height": 1, "format": "png"}]';
begin
  if (select count(*) = 2 from process_jobs.image_writers) then
    v_tried := false;
  elsif v_id_type is null or v_user_id_type is null then
    v_refusal := case
      when to_regclass('public.image_generations') is null then 'there is no table public.image_generations'
      when v_id_type is null then 'public.image_generations has no column id'
      else 'public.image_generations has no column user_id, whose picture it is'
    end;
  elsif v_id_type !~ '^(text|uuid|character varying.*|integer|bigint|smallint)$' then
    v_refusal := format('public.image_generations.id is of type %s, neither text nor uuid nor a number', v_id_type);
  else
    -- A user: of a generation, else of the table that user_id is a key of, else any.
    execute 'select user_id::text from public.image_generations where user_id is not null limit 1' into v_user_id;
    if v_user_id is null then
      select c.confrelid::regclass as of_table, quote_ident(a.attname) as of_column into v_reference
      from pg_catalog.pg_constraint c
      join pg_catalog.pg_attribute k on k.attrelid = c.conrelid and k.attnum = c.conkey[1] and k.attname = 'user_id'
      join pg_catalog.pg_attribute a on a.attrelid = c.confrelid and a.attnum = c.confkey[1]
      where c.conrelid = to_regclass('public.image_generations') and c.contype = 'f' and cardinality(c.conkey) = 1;
      if found then
        execute format('select %s::text from %s limit 1', v_reference.of_column, v_reference.of_table) into v_user_id;
        v_tried := v_user_id is not null;
      end if;
    end if;
    v_ids := array(
      select case
        when v_id_type = 'smallint' then (32768 - n)::text
        when v_id_type in ('integer', 'bigint') then (2147483648 - n)::text
        else gen_random_uuid()::text
      end
      from generate_series(1, 3) n);
    v_user_id := coalesce(v_user_id, case
      when v_user_id_type in ('smallint', 'integer', 'bigint') then '32767'
      else gen_random_uuid()::text
    end);
  end if;

  if process_jobs.column_type('public.image_generations', 'progress') in ('smallint', 'integer', 'bigint')
    and exists (select from process_jobs.fitting_columns('public.image_generations', '{"progress": 0}'))
    and not exists (select from process_jobs.image_writers)
  then
    v_statuses := '{"progress": "column"}';
  end if;
  insert into process_jobs.image_tables as t (shape, statuses, tried, refusal)
  values (v_shape, v_statuses, v_tried, null)
  on conflict (only_row) do update
  set shape = v_shape, statuses = v_statuses, tried = v_tried, refusal = null, looked_at = now();

  if v_refusal is null and v_tried then
    -- Where the app names a model by its name alone, so do we.
    if process_jobs.column_type('public.image_generations', 'model') is not null then
      execute $q$
        select case when bool_and(m.model !~ '/') then '{"model": "name"}'::jsonb else '{}' end || $1
        from (select g.model::text from public.image_generations g where g.model is not null limit 100) m
      $q$ into v_statuses using v_statuses;
    end if;
    v_kept := v_statuses;
    v_payload := jsonb_build_object('user_id', v_user_id, 'prompt', 'rehearsal',
      'model_id', 'owner/name', 'width', 1, 'height', 1, 'num_inference_steps', 1, 'guidance_scale', 1);
    begin
      for v_way in
        select m.made_by_us, p.has_progress
        from (values (true), (false)) m (made_by_us)
        cross join (values (true), (false)) p (has_progress)
        where v_kept ? 'progress' or not p.has_progress
        order by p.has_progress desc, m.made_by_us desc
      loop
        begin
          v_statuses := case when v_way.has_progress then v_kept else v_kept - 'progress' end;
          update process_jobs.image_tables set statuses = v_statuses;
          for v_step in
            select s.n, s.status, s.instead
            from (values
              (1, 'queued', 'pending'), (1, 'processing', null), (1, 'downloading', 'processing'), (1, 'completed', null),
              (2, 'queued', 'pending'), (2, 'failed', null),
              (3, 'queued', 'pending'), (3, 'cancelled', 'failed')) s (n, status, instead)
          loop
            v_payload := v_payload || jsonb_build_object('generation_id', v_ids[v_step.n]);
            if v_step.status = 'queued' and not v_way.made_by_us then
              execute (
                select format(
                  'insert into public.image_generations (%s) select %s from public.image_generations g where g.user_id is not null limit 1',
                  string_agg(quote_ident(a.attname), ', '),
                  string_agg(case a.attname
                    when 'id' then format('%L::%s', v_ids[v_step.n], v_id_type)
                    when 'status' then quote_literal('pending')
                    else 'g.' || quote_ident(a.attname)
                  end, ', '))
                from pg_catalog.pg_attribute a
                where a.attrelid = to_regclass('public.image_generations') and a.attnum > 0 and not a.attisdropped
                  and a.attgenerated = '' and a.attidentity <> 'a');
            end if;
            begin
              if v_step.status = 'completed' then
                perform process_jobs.record_images(gen_random_uuid(), v_payload, v_images);
                perform process_jobs.record_images(gen_random_uuid(), v_payload, v_images);
              else
                perform process_jobs.set_generation_status(v_payload, v_step.status,
                  case when v_step.status = 'failed' then 'rehearsal' end,
                  case when v_step.status = 'processing' then 'rehearsal' end, true, 99);
              end if;
              set constraints all immediate;
            exception
              when check_violation or invalid_text_representation then
                if v_step.instead is null or v_statuses ? v_step.status then
                  raise;
                end if;
                v_statuses := v_statuses || jsonb_build_object(v_step.status, v_step.instead);
                update process_jobs.image_tables set statuses = v_statuses;
                perform process_jobs.set_generation_status(v_payload, v_step.status, null, null, true);
            end;
          end loop;
          v_refusal := null;
          raise exception using errcode = 'PJ000';
        exception
          when sqlstate 'PJ000' then
            raise;
          when lock_not_available then
            v_tried := false;
          when others then
            if process_jobs.is_server_state(sqlstate) then
              raise;
            end if;
            v_refusal := format('a generation cannot be %s: %s', v_step.status, sqlerrm);
        end;
      end loop;
    exception
      when sqlstate 'PJ000' then
        null;
    end;
  end if;

  v_refusal := 'the image tables take no picture: ' || v_refusal
    || '. Change the table, or name a function of your own in process_jobs.image_writers';
  update process_jobs.image_tables set statuses = v_statuses, tried = v_tried, refusal = v_refusal;
  return v_refusal;
end
$$;
