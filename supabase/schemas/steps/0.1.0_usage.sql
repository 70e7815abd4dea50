-- 0.1.0, for databases of its development: outcomes and events carry what has ended outside (record_usage).
drop function if exists public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb),
  public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text), public.cancel_job(uuid, uuid),
  public.wake_job(uuid, jsonb, int);
