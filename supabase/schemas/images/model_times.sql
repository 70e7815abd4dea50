-- model_times: how long a model usually takes, for the progress of a prediction whose log tells none: the median of its
-- last 21 predictions.
--
-- A median, because a cold start or a stuck machine takes ten times as long; of the last ones as they are, because 21
-- numbers are as cheap to keep as an estimate of one, have no step to be tuned, and follow a model that has become
-- faster within eleven predictions.
--
-- model    the payload's model_id
-- seconds  the median of recent
-- recent   the predict seconds of its last predictions, the newest first
create table if not exists process_jobs.model_times (
  model text primary key,
  seconds double precision not null,
  recent double precision[] not null,
  updated_at timestamptz not null default now()
);
