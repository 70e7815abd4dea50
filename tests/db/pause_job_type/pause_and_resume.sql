begin;
select plan(9);
insert into job_types (job_type) values ('work');

select is(resume_job_type('work'), false, 'what is not paused is not resumed');
select is(pause_job_type('work', 'no credit'), true, 'paused');
select is(pause_job_type('work', 'another reason'), false, 'already paused');
select is((select paused_reason from job_types where job_type = 'work'), 'no credit', 'the first reason stays');
select is(resume_job_type('work'), true, 'resumed');
select results_eq($$select paused_at, paused_reason from job_types where job_type = 'work'$$, 'values (null::timestamptz, null::text)', 'nothing is left of the pause');
select throws_ok($$select pause_job_type('work', '')$$, '22023', 'p_reason must not be empty');
select throws_ok($$select pause_job_type('wrok', 'x')$$, '22023', 'unknown job type "wrok": job_types has no row for it');
select throws_ok($$select resume_job_type('wrok')$$, '22023', 'unknown job type "wrok": job_types has no row for it');

select * from finish();
rollback;
