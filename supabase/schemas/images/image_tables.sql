-- image_tables: what look_at_image_tables has found of the image tables; one row.
--
-- shape     of what they were then (image_tables_shape)
-- statuses  {"cancelled": "failed", …}: what is written for a status that the table does not take
-- tried     false: there is no user yet to try them with
-- refusal   why no picture can be recorded, and what to do; null: it can
create table if not exists process_jobs.image_tables (
  only_row boolean primary key default true,
  shape text not null,
  statuses jsonb not null default '{}',
  tried boolean not null,
  refusal text,
  looked_at timestamptz not null default now(),
  constraint image_tables_is_one_row check (only_row)
);

-- image_writers: functions of the app's own that write in our place; this is where they are named, and no upgrade
-- touches them.
--
-- writes         'generation': function(p_payload jsonb, p_generation jsonb {status, error_message,
--                replicate_prediction_id}), called whenever a generation's status changes
--                'images': function(p_payload jsonb, p_images jsonb), called when a generation's pictures are stored, with
--                [{filename, storage_path, public_url, file_size, width, height, format}]
-- function_name  schema and name, as 'app.write_generation'
--
-- Both may be called twice with the same and must end the same. What they raise, they refuse.
create table if not exists process_jobs.image_writers (
  writes text primary key,
  function_name text not null,
  constraint image_writers_writes_is_known check (writes in ('generation', 'images'))
);
