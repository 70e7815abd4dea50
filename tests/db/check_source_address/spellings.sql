-- What is taken, and hostile spellings of what is not. tests/db/users/hostile.rs makes thousands more of these.
begin;
select plan(5);
create schema if not exists storage;
create table if not exists storage.buckets (id text primary key, name text, public boolean);
create table if not exists storage.objects (bucket_id text, name text, owner uuid, owner_id text);
insert into storage.buckets (id, name, public) values ('open', 'open', true), ('closed', 'closed', false), ('sign', 'sign', false);
insert into storage.objects (bucket_id, name, owner, owner_id) values
  ('closed', 'mine.png', null, 'user-1'), ('closed', 'a/my photo (1).png', null, 'user-1'),
  ('closed', 'theirs.png', null, 'user-2'), ('closed', 'nobodys.png', null, null), ('sign', 'closed/theirs.png', null, 'user-1'),
  ('generated-images', 'user-1/a.png', null, null), ('generated-images', 'user-2/b.png', null, null);
-- An app may let users write this table: a row proves nothing by itself.
insert into image_generations (id, user_id) values ('g', 'user-1');
insert into images (generation_id, user_id, filename, storage_path) values
  ('g', 'user-1', 'a.png', 'user-1/a.png'), ('g', 'user-1', 'b.png', 'user-2/b.png'), ('g', 'user-1', 'c.png', 'theirs.png');

create function pg_temp.verdict(p_url text) returns text language plpgsql as $$
begin
  perform process_jobs.check_source_address('user-1', p_url, 'source_image_url');
  return 'taken';
exception
  when others then
    return sqlstate;
end
$$;

create temp table taken (url text);
insert into taken values
  ('https://a.example/b.png'), ('https://a.example'), ('https://A.Example/b%20c.png?x=%2F..&y=1,2;3#f'), ('https://xn--bcher-kva.example/a'),
  ('https://a_b.example/a@b:c.png'), ('https://localhost.example/a'), ('https://a.example/storage/v2/object'),
  ('https://p.supabase.co/storage/v1/object/public/open/any/where.png'), ('https://p.supabase.co/storage/v1/object/closed/mine.png'),
  ('https://p.supabase.co/storage/v1/object/authenticated/closed/mine.png?download=1'),
  ('https://p.supabase.co/storage/v1/object/sign/closed/mine.png?token=a.b-c_d'),
  ('https://p.supabase.co/storage/v1/object/closed/a/my%20photo%20(1).png'),
  ('https://p.supabase.co/storage/v1/object/generated-images/user-1/a.png'),
  ('http://127.0.0.1:54321/storage/v1/object/closed/mine.png'), ('http://kong:8000/storage/v1/object/public/open/a.png');
select is_empty($$select url, pg_temp.verdict(url) from taken where pg_temp.verdict(url) <> 'taken'$$, 'public addresses and one''s own objects');

create temp table theirs (path text);
insert into theirs values
  ('closed/theirs.png'), ('closed/nobodys.png'), ('closed/none.png'), ('public/closed/theirs.png'), ('public/closed/mine.png'), ('public/none/a.png'),
  ('sign/closed/theirs.png'), ('sign/closed/theirs.png?token=x'), ('authenticated/closed/theirs.png'), ('Closed/mine.png'), ('closed/MINE.png'),
  ('generated-images/user-2/b.png'), ('closed/user-1/a.png'), ('closed/mine.png/'), ('closed//mine.png'), ('/closed/mine.png'), ('sign/sign/closed/theirs.png'),
  ('info/closed/mine.png'), ('list/closed'), ('closed'), ('closed/'), (''), ('public/'), ('public/mine.png'), ('sign/mine.png'), ('closed/mine.png%'), ('closed/mine.png#'), ('closed/mine.png#/../theirs.png'),
  ('closed/x/../theirs.png'), ('closed/./mine.png'), ('closed/x/%2e%2e/mine.png'), ('closed/.%2E/closed/mine.png'), ('closed/%2e/mine.png'), ('closed%2Fmine.png'), ('closed/mine%2Epng'),
  ('closed/mine.png%00'), ('closed/mine.png%0a'), ('closed/mine%252epng'), ('closed%5cmine.png'), ('closed\mine.png'), ('closed/mine.png;x'), ('closed/mine.png,x'), ('closed/mine.png '),
  (' closed/mine.png'), (e'clo\tsed/mine.png'), (e'closed/mine.png\n'), ('closed/mine.png%20'), ('closed/m%C4%B1ne.png'), (U&'closed/m\0131ne.png'), ('sign/../closed/theirs.png'), ('open/../closed/theirs.png');
select is_empty($$
  select host || prefix || path, pg_temp.verdict(host || prefix || path) as verdict
  from theirs, unnest(array['https://p.supabase.co', 'https://a.example', 'http://127.0.0.1:54321', 'http://localhost', 'https://p.supabase.co:443']) host,
    unnest(array['/storage/v1/object/', '/storage/v1/./object/', '/x/../storage/v1/object/', '/%73torage/v1/object/', '/storage/%76%31/object/', '//storage//v1/object/',
      '/storage%2fv1/object/', '/Storage/V1/object/', '\storage\v1\object\', '/storage/v1/render/image/', '/storage/v1/s3/', '/p?url=https://p.supabase.co/storage/v1/object/',
      '/p?u=https%3A%2F%2Fp.supabase.co%2Fstorage%2Fv1%2Fobject%2F']) prefix
  where pg_temp.verdict(host || prefix || path) not in ('PT403', '22023')
$$, 'no spelling of an object that is not theirs');

create temp table elsewhere (url text);
insert into elsewhere values
  (null), (''), ('a'), ('/a.png'), ('//a.example/a'), ('https:a.example/a'), ('https:/a.example/a'), ('https:///a.example/a'), ('https://'), ('http://a.example/a'), ('HTTPS://a.example/a'), ('ftp://a.example/a'),
  ('data:image/png;base64,AAAA'), ('DATA:image/png,'), ('file:///etc/passwd'), ('javascript:alert(1)'), ('blob:https://a.example/1'), (' https://a.example/a'), (e'ht\ntps://a.example/a'), (e'https://a.example/\t'),
  ('https://u@a.example/a'), ('https://u:p@a.example/'), ('https://a.example:443/'), ('https://a.example:8443/a'), ('https://a.example:/'), ('https://a.example\@b.example/'), ('https://a.example%40b.example/'), ('https://@a.example/'),
  ('https://localhost/a'), ('https://a.localhost/a'), ('https://LOCALHOST/'), ('https://printer.local/'), ('https://metadata.google.internal/'), ('https://a.home.arpa/'), ('https://localhost.localdomain'), ('https://localhost./a'), ('https://a.example./a'),
  ('https://kong/a'), ('https://db/a'), ('https://127.0.0.1/'), ('https://127.1/'), ('https://2130706433/'), ('https://0x7f000001/'), ('https://0x7f.0.0.1'), ('https://0177.0.0.1/'), ('https://127.0.0.1./'), ('https://8.8.8.8/'),
  ('https://169.254.169.254/latest/meta-data'), ('https://10.0.0.1/'), ('https://192.168.1.1'), ('https://172.16.0.1/?'), ('https://0/'), ('https://0.0.0.0/'), ('https://a.0x1/'), ('https://1.2.3.0x4'), ('https://a.example.1/'),
  ('https://[::1]/'), ('https://[::ffff:127.0.0.1]/'), ('https://[fd00::1]/a'), ('https://[fe80::1%25eth0]/'), ('https://%31%32%37.0.0.1/'), ('https://%6cocalhost/'), (U&'https://\FF4Cocalhost/'), (U&'https://127\30020\30020\30021/'),
  (U&'https://\24DB\24DE\24D2\24D0\24DBhost.local/'), ('https://a..example/'), ('https://.example/'), ('https://-/'), ('https://a.example/"'), ('https://a.example/<a>'), ('https://a.example/a b'), (e'https://a.example/\u00e9'), ('https://a.example/%'),
  ('https://a.example/%zz'), ('https://a.example/%250a'), ('https://a.example/%00'), ('https://a.example/../a'), ('https://a.example/%2e%2e/a'), ('https://a.example/a/.'), ('https://a.example/' || repeat('a', 4000)),
  ('http://127.0.0.1:54321/rest/v1/x'), ('http://localhost:54321/'), ('http://127.0.0.1/storage/v1/object'), ('http://[::1]/storage/v1/object/closed/mine.png'), ('http://a.example/storage/v1/object/closed/mine.png'),
  ('https://127.0.0.1/storage/v1/object/closed/mine.png'), ('https://u@p.supabase.co/storage/v1/object/closed/mine.png'), ('http://127.0.0.1:0/storage/v1/object/closed/mine.png'), ('http://127.0.0.1@a.example/storage/v1/object/closed/mine.png');
select is_empty($$select url, pg_temp.verdict(url) from elsewhere where pg_temp.verdict(url) <> '22023'$$, 'nothing but https and the name of a host');

alter table storage.objects drop column owner_id;
update storage.objects set owner = '00000000-0000-4000-8000-000000000001' where name = 'mine.png';
select lives_ok($$select process_jobs.check_source_address('00000000-0000-4000-8000-000000000001', 'https://p.supabase.co/storage/v1/object/closed/mine.png', 'f')$$, 'an older Storage');
drop schema storage cascade;
select is_empty($$select url, pg_temp.verdict(url) from taken where url like '%storage/v1%' and url not like '%generated-images%' and pg_temp.verdict(url) <> 'PT403'$$, 'without Storage nothing is an object of anybody');
select * from finish();
rollback;
