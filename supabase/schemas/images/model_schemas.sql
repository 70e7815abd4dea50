-- model_schemas: the input schemas that Replicate publishes, current for a day, so that a model outside the worker's
-- catalogue, or one that has changed since, is asked about once a day instead of by every job.
create table if not exists process_jobs.model_schemas (
  model text primary key,
  schema jsonb not null,
  fetched_at timestamptz not null default now(),
  constraint model_schemas_model_length check (length(model) between 1 and 300)
);
