-- 0.1.0, for databases of its development: job types may have a fair_key.
do $$
begin
  if to_regclass('public.job_types') is null or process_jobs.column_type('public.job_types', 'fair_key') is not null then
    return;
  end if;
  alter table public.job_types
    add column fair_key text,
    add constraint job_types_fair_or_ageing check (fair_key is null or priority_ages_seconds is null);
  alter table if exists process_jobs.waiting_jobs alter column rank drop not null;
end
$$;
