-- address_refusal: why nobody may be notified at this address, or null if it may be; p_name is its name for the message.
--
-- p_public_only  true, for an address that a user has given: https, on its own port, by a name of the public DNS. Neither
--                numbers of hosts in any spelling nor names of an internal network are such names. false, for an
--                operator's: any http or https address
--
-- No user or password in either: they would be shown with the job. Only plain characters, of which every parser of URLs
-- makes the same host; the worker looks once more, with the parser that the call goes by.
create or replace function process_jobs.address_refusal(p_name text, p_url text, p_public_only boolean) returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rest constant text := '(?:[/?#][a-z0-9._~:/?#\[\]@!$&''()*+,;=%-]*)?$';
  v_public constant text := '^https://(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)';
  v_inside constant text[] := '{localhost,localdomain,local,internal,intranet,private,corp,home,lan,arpa,test,invalid,onion}';
begin
  return case
    when length(p_url) > 2048 then format('%s must have at most 2048 characters, not %s', p_name, length(p_url))
    when p_url !~* ('^https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?' || v_rest) then
      format('%s must be an http or https address without user and password, such as https://example.com/hook', p_name)
    when p_public_only
      and coalesce(lower((regexp_match(p_url, v_public || v_rest, 'i'))[1]) = any (v_inside), true)
    then
      format('%s must be an https address with a public host name, without port, such as https://example.com/hook', p_name)
  end;
end
$$;
