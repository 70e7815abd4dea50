-- ring_at_commit: trigger on ready_jobs: a transaction that has made jobs ready rings once, when it commits, whoever made
-- them and in however many statements; unless somebody rang in the last 250 ms. For what it leaves to that ring,
-- seconds_until_next_job has every drain look once more, 500 ms after the last ring: what decides by then has another
-- 250 ms to be committed.
--
-- place_inserted and keep_places name the job for it, and place_jobs has the setting process_jobs.ring say `asked` until the
-- transaction ends or the savepoint is rolled back to, as the trigger's event. What a drain's own calls make ready, but for
-- follow-ups, rings nobody.
create or replace function process_jobs.ring_at_commit() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- (Not between 0 and 250, in one expression: each costs.)
  if abs(date_part('epoch', clock_timestamp()) * 1000 - pg_sequence_last_value('process_jobs.last_ring') - 125) > 125 then
    perform process_jobs.ring();
  end if;
  return null;
end
$$;

do $$
begin
  if not exists (
    select from pg_catalog.pg_trigger t
    where t.tgname = 'ring_at_commit' and t.tgrelid = 'process_jobs.ready_jobs'::regclass)
  then
    create constraint trigger ring_at_commit
      after insert on process_jobs.ready_jobs deferrable initially deferred
      for each row when (new.rings) execute function process_jobs.ring_at_commit();
  end if;
end
$$;
