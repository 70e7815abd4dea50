-- image_tables: the findings of look_at_image_tables about the image tables; one row.
--
-- shape     the tables' shape at that time (image_tables_shape)
-- statuses  {"cancelled": "failed", …}: the status written instead of one that the table does not accept. "model": models
--           are written by their names alone; "progress": the table has a column for it that takes 0 to 100
-- tried     false: they could not be tried yet (no user, or a lock), or need not be (the app writes both)
-- refusal   why no picture can be recorded, and what to do; null: pictures can be recorded
create table if not exists process_jobs.image_tables (
  only_row boolean primary key default true,
  shape text not null,
  statuses jsonb not null default '{}',
  tried boolean not null,
  refusal text,
  looked_at timestamptz not null default now(),
  constraint image_tables_is_one_row check (only_row)
);

-- image_writers: the app's own functions that write instead of process-jobs. The app names them here; no upgrade
-- changes this table.
--
-- writes         'generation': function(p_payload jsonb, p_generation jsonb {status, error_message,
--                replicate_prediction_id}), called whenever a generation's status changes
--                'images': function(p_payload jsonb, p_images jsonb), called when a generation's pictures are stored, with
--                [{filename, storage_path, public_url, file_size, width, height, format}]
-- function_name  schema and name, as 'app.write_generation'
--
-- Both may be called twice with the same arguments and must give the same result. An error that they raise is a
-- refusal.
create table if not exists process_jobs.image_writers (
  writes text primary key,
  function_name text not null,
  constraint image_writers_writes_is_known check (writes in ('generation', 'images'))
);
