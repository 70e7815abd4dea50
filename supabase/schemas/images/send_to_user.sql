-- send_to_user: sends a message to a user's private Realtime topic; only for tell_generation, where realtime.send is.
--
-- It is a row of realtime.messages, which Realtime reads from the log after the commit. Where that table refuses it, or
-- is locked, as while Realtime makes a day's partition, there is a warning and no message.
create or replace function process_jobs.send_to_user(p_user_id text, p_message jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
begin
  execute format('select %s($1, $2, $3, true)', to_regprocedure('realtime.send(jsonb, text, text, boolean)')::regproc)
  using p_message, 'generation', 'process-jobs:' || p_user_id;
exception
  when others then
    if process_jobs.is_server_state(sqlstate) then
      raise;
    end if;
    raise warning 'user % could not be told: %', p_user_id, sqlerrm;
end
$$;
