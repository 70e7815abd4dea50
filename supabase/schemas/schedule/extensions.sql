-- Creates pg_cron and pg_net, which schedule_process_jobs needs, if the server offers them.
--
-- pg_cron lives in one database of a cluster (cron.database_name) and must be preloaded. If it cannot be created, as on
-- a server without one of them, everything but the schedule works.
do $$
declare
  v_extension text;
begin
  foreach v_extension in array array['pg_cron', 'pg_net'] loop
    if not exists (select from pg_catalog.pg_available_extensions where name = v_extension) then
      raise notice '% is not available: schedule_process_jobs will refuse, the rest works', v_extension;
      continue;
    end if;
    begin
      if v_extension = 'pg_net' and to_regnamespace('extensions') is not null then
        create extension if not exists pg_net with schema extensions;
      else
        execute format('create extension if not exists %I', v_extension);
      end if;
    exception
      when others then
        raise notice '% could not be made (%): schedule_process_jobs will refuse, the rest works', v_extension, sqlerrm;
    end;
  end loop;
end
$$;
