-- deliver-webhook: tries again for a day. 18 attempts wait 5 s, 10 s, 20 s … 2.8 h, and then 4 h each: 25.7 h in all.
insert into public.job_types (job_type, backoff_max_seconds)
values ('deliver-webhook', 14400)
on conflict (job_type) do nothing;
