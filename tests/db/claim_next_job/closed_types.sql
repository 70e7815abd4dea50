begin;
select plan(5);
insert into job_types (job_type) values ('work'), ('held'), ('paused');
select enqueue_job(job_type, '{}', priority) from (values ('work', 0), ('held', 5), ('paused', 9)) v (job_type, priority);
update job_types set held_until = now() + interval '1 second' where job_type = 'held';
select pause_job_type('paused', 'no credit');

select results_eq('select job_type from claim_next_job(p_limit => 10)', $$values ('work')$$, 'held and paused types are passed over');
select is_empty($$select * from claim_next_job(array['held', 'paused'])$$, 'also when asked for by name');
update job_types set held_until = now() where job_type = 'held';
select results_eq('select job_type from claim_next_job(p_limit => 10)', $$values ('held')$$, 'a hold ends by itself');
select is_empty('select * from claim_next_job(p_limit => 10)', 'a pause does not');
select resume_job_type('paused');
select results_eq('select job_type from claim_next_job(p_limit => 10)', $$values ('paused')$$, 'but by resume_job_type');

select * from finish();
rollback;
