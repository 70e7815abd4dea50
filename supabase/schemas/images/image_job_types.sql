-- The job types of the image worker, with the default retry policy: 5 s, 10 s, 20 s … 600 s, each ±25 %. Replicate
-- takes 600 creates a minute from an account; 500 a minute and 50 at once stay below that.
insert into public.job_types (job_type, starts_per_minute)
values ('generate-image', 500), ('download-image', null), ('watch-prediction', null)
on conflict (job_type) do nothing;
