-- The job types of the image worker, with the default retry policy: 5 s, 10 s, 20 s … 600 s, each ±25 %.
insert into public.job_types (job_type)
values ('generate-image'), ('download-image')
on conflict (job_type) do nothing;
