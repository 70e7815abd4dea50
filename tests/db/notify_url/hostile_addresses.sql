-- Ten thousand addresses that lead inside, or look as if they led outside: none is taken of a user.
begin;
select plan(3);
create temp table hosts as
select h.host
from unnest(array[
    '127.0.0.1', '127.1.2.3', '10.0.0.1', '10.255.0.9', '172.16.0.1', '172.31.255.254', '192.168.1.1', '169.254.169.254',
    '100.64.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '198.18.0.1', '192.0.2.1', '8.8.8.8']::inet[]) a (number)
cross join lateral (select host(a.number) as dotted, a.number - '0.0.0.0'::inet as whole, string_to_array(host(a.number), '.')::int[] as p) n
cross join lateral (values
  (n.dotted), (n.dotted || '.'), (n.whole::text), ('0x' || to_hex(n.whole)), ('0X' || upper(to_hex(n.whole))),
  (n.p[1] || '.' || (n.whole % 16777216)), (n.p[1] || '.' || n.p[2] || '.' || (n.whole % 65536)),
  (format('0x%s.0x%s.0x%s.0x%s', to_hex(n.p[1]), to_hex(n.p[2]), to_hex(n.p[3]), to_hex(n.p[4]))),
  (format('0%s%s%s.%s.%s.%s', n.p[1] / 64, n.p[1] / 8 % 8, n.p[1] % 8, n.p[2], n.p[3], n.p[4])),
  ('[::ffff:' || n.dotted || ']'), ('[::' || n.dotted || ']'), ('[64:ff9b::' || n.dotted || ']'), ('[2002::' || n.dotted || ']'),
  (replace(n.dotted, '.', '。')), (replace(n.dotted, '.', '%2e')), (translate(n.dotted, '0123456789', '０１２３４５６７８９')),
  ('a.' || n.dotted), (n.dotted || '.0x7f')
) h (host)
union all
select unnest(array['localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'printer.local', 'a.b.LOCAL', 'metadata.google.internal', 'router.lan', 'intranet',
  'a.home.arpa', 'a.corp', 'host.docker.internal', 'x.svc.cluster.local', 'ｌocalhost', E'loc­alhost', 'foo.localdomain', 'a.b.onion',
  '[::1]', '[::]', '[fe80::1]', '[fd00::1]', 'db', 'kong', '-.com', 'a..com', '.com', 'com.', '', '*', 'a_b', 'ex%61mple.com', 'example.com%2f.local']);
create temp table addresses as
select format(d.dress, h.host) as url
from hosts h, unnest(array['https://%s', 'https://%s/', 'https://%s/hook?a=b#c', 'https://%s?x', 'https://%s#x', 'https://%s:443/', 'https://%s:8443/', 'HTTPS://%s/',
  ' https://%s/', 'https://%s/ ', 'https:/%s/', 'https:%s', E'https:\\\\%s\\', 'https:///%s/', E'https://\t%s/', E'ht\ntps://%s/', E'https://%s\r\n/',
  'https://example.com@%s/', 'https://example.com:x@%s/', E'https://example.com\\@%s/', 'https://@%s/', 'https://example.com%%40%s/', 'https://a@b@%s/',
  'http://%s/', 'http://example.com@%s:80/', 'ftp://%s/', 'ws://%s/', 'file://%s/', 'blob:https://%s/', '//%s/', '%s', E'https://%s\\.example.com/',
  'https://%s/@example.com', 'https://%s/../../example.com', 'javascript:https://%s/']) d (dress);
select cmp_ok((select count(*) from addresses), '>=', 10000::bigint, 'ten thousand');
select is_empty($$select url from addresses where process_jobs.address_refusal('notify_url', url, true) is null$$, 'nothing through');
select is_empty(
  $$select u.url from unnest('{https://example.com,https://hooks.example.co.uk:/}'::text[]) u (url)
    where process_jobs.address_refusal('notify_url', rtrim(u.url, ':/'), true) is not null$$, 'but for what is public');
select * from finish();
rollback;
