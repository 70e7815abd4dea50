-- check_source_address: refuses a source picture that is neither a public address nor the user's own object.
--
-- A worker signs private objects of the project's Storage with its service key, so whoever names one must own it. The
-- database does not know under which address that Storage is reached: whatever could be an object of any is taken for
-- one of ours. So that a URL parser has nothing to mend or resolve, an address is made of nothing but characters that
-- need no escaping and single escapes, and what is checked is what a worker reads:
--
-- /storage/v1/object/[sign/|authenticated/]<bucket>/<name>   an object of the user's (owns_object)
-- /storage/v1/object/public/<bucket>/<name>                  in a bucket that is public
-- anything else                                              https, by a name that is not of a private network
--
-- Bucket and name are of A-Z a-z 0-9 _ . - ( ) and %20. A local stack's Storage may be named by http. Refuses (22023)
-- another form, (PT403) an object that is not there or not theirs: the same answer for both.
create or replace function process_jobs.check_source_address(p_user_id text, p_url text, p_field text) returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant text := '(?:[A-Za-z0-9_-]+\.)+[A-Za-z][A-Za-z0-9-]*';
  v_local constant text := 'http://(?:127\.0\.0\.1|localhost|host\.docker\.internal|kong)(?::[1-9][0-9]{0,4})?';
  v_name constant text := '(?:[A-Za-z0-9_.()-]|%20)+';
  v_decoded text;
  v_object text[];
  v_is_theirs boolean := false;
begin
  if p_url is null or length(p_url) > 4000 or p_url !~ '^[A-Za-z0-9_.~!$&()*+,;=:@/?#%-]+$'
    or p_url ~ '%(?![0-9A-Fa-f]{2})'
    or p_url ~* '%(?:25|[01][0-9a-f]|7f)'
  then
    raise exception '%: must be an address of at most 4000 characters, in which whatever is not of A-Z a-z 0-9 _ . ~ ! $ & ( ) * + , ; = : @ / ? # - is escaped once', p_field
      using errcode = '22023';
  end if;

  select translate(lower(string_agg(
    case when m.part[1] ~ '^%[2-7]' then chr(('x' || substr(m.part[1], 2))::bit(8)::int) else m.part[1] end, '' order by m.n)), '\', '/')
  into v_decoded
  from regexp_matches(p_url, '%..|[^%]+', 'g') with ordinality m (part, n);
  if v_decoded ~ '/\.{1,2}(?:[/?#;]|$)' then
    raise exception '%: must be without . and .. in its path', p_field using errcode = '22023';
  elsif p_url !~ ('^' || v_local || '/storage/v1/object/')
    and process_jobs.address_refusal(p_field, substring(p_url from '^https://[^/?#]*'), true) is not null
  then
    raise exception '%: must begin with https:// and the public name of a host, without user, port or number of an address', p_field
      using errcode = '22023';
  elsif v_decoded !~ 'storage/+v1' then
    return;
  end if;

  v_object := regexp_match(p_url, format(
    '^(?:https://%s|%s)/storage/v1/object/(?:(public|sign|authenticated)/)?(%s)/(%3$s(?:/%3$s)*)(?:\?[^#]*)?$', v_host, v_local, v_name));
  if v_object is null or v_object[2] in ('public', 'sign', 'authenticated') then
    raise exception '%: an object of Storage must be named as …/storage/v1/object/<bucket>/<name>, with nothing but A-Z a-z 0-9 _ . - ( ) and %%20 in both', p_field
      using errcode = '22023';
  elsif v_object[1] is distinct from 'public' then
    v_is_theirs := process_jobs.owns_object(p_user_id, replace(v_object[2], '%20', ' '), replace(v_object[3], '%20', ' '));
  elsif to_regclass('storage.buckets') is not null then
    execute format(
      $q$ select coalesce(bool_or((to_jsonb(b) ->> 'public')::boolean), false) from %s b where b.id = $1 $q$,
      to_regclass('storage.buckets'))
    into v_is_theirs using replace(v_object[2], '%20', ' ');
  end if;
  if not v_is_theirs then
    perform process_jobs.refuse('403', p_field || ': is neither an object of yours nor in a public bucket; upload the picture as the signed-in user');
  end if;
end
$$;
