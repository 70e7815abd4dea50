begin;
select plan(38);
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';

select throws_ok($$select request_generation('a fox', 'a/b')$$, 'PT403',
  'requests are not open to you: no row of user_limits applies; whoever runs the project adds one', 'closed until an operator opens it');
select is((my_limits() ->> 'limits'), null, 'as my_limits says');
insert into user_limits (applies_to, max_priority) values ('all', 5);

-- What it makes.
select request_generation(E'a "fox" \u72d0', 'a/b', '{"width": 512.0, "height": 768, "seed": -5, "guidance_scale": 3.5, "negative_prompt": "dogs",
  "num_inference_steps": null, "output_format": "webp", "priority": 5}') as made \gset
select is(:'made'::jsonb ->> 'status', 'queued', 'the generation is answered');
select is(:'made'::jsonb ->> 'id', (select id from image_generations), 'and is there');
select is((select user_id || ' ' || prompt || ' ' || width || ' ' || model from image_generations), E'user-1 a "fox" \u72d0 512 a/b', 'with what was asked for');
select is((select payload - 'generation_id' from job_queue),
  jsonb_build_object('prompt', E'a "fox" \u72d0', 'model_id', 'a/b', 'width', 512, 'height', 768, 'seed', -5, 'guidance_scale', 3.5,
    'negative_prompt', 'dogs', 'output_format', 'webp', 'user_id', 'user-1'),
  'its job has the fields of a payload, and the user of the token');
select is((select payload ->> 'width' from job_queue), '512', 'whole numbers are written as such');
select is((select job_type || ' ' || priority || ' ' || created_by from job_queue), 'generate-image 5 user-1', 'its priority is the job''s');
select is((select array_agg(k) from jsonb_object_keys(request_generation('x', 'a/b', null)) k where k in ('id', 'status')), '{id,status}', 'p_options may be null');
revoke select on image_generations from authenticated;
grant select (id, prompt) on image_generations to authenticated;
select is(request_generation('x', 'a/b') - 'id', '{"status": "queued", "prompt": "x"}', 'columns that users may not read are not answered');

-- What is refused, by its field.
create function pg_temp.refused(p_what text, p_prompt text, p_model_id text, p_options jsonb) returns text language sql as $$
  select throws_like(format('select request_generation(%L, %L, %L)', p_prompt, p_model_id, p_options), p_what || '%', 'refused: ' || p_what)
$$;
select pg_temp.refused('p_prompt is empty', e' \u3000\n', 'a/b', '{}');
select pg_temp.refused('p_prompt is empty', null, 'a/b', '{}');
select pg_temp.refused('p_model_id must be', 'x', 'a/b/c', '{}');
select pg_temp.refused('p_model_id must be', 'x', 'a/b:123', '{}');
select pg_temp.refused('p_model_id must be', 'x', e'a/b\n', '{}');
select pg_temp.refused('p_model_id must be', 'x', null, '{}');
select pg_temp.refused('p_options must be a json object, not array', 'x', 'a/b', '[]');
select pg_temp.refused('p_options: "user_id" is not an option', 'x', 'a/b', '{"user_id": "user-2"}');
select pg_temp.refused('p_options: "generation_id" is not an option', 'x', 'a/b', '{"generation_id": "g"}');
select pg_temp.refused('p_options: "model_version" is not an option', 'x', 'a/b', '{"model_version": "v"}');
select pg_temp.refused('p_options: "published_schema" is not an option', 'x', 'a/b', '{"published_schema": true}');
select pg_temp.refused('p_options: width must be a whole number from 1 to 16384, found 16385', 'x', 'a/b', '{"width": 16385}');
select pg_temp.refused('p_options: height must be a whole number from 1 to 16384, found a json string', 'x', 'a/b', '{"height": "tall"}');
select pg_temp.refused('p_options: seed must be a whole number', 'x', 'a/b', '{"seed": 1e19}');
select pg_temp.refused('p_options: num_outputs must be a whole number from 1 to 10, found 1.5', 'x', 'a/b', '{"num_outputs": 1.5}');
select pg_temp.refused('p_options: guidance_scale must be a number from 0 up, found -1', 'x', 'a/b', '{"guidance_scale": -1}');
select pg_temp.refused('p_options: strength must be a number from 0 to 1, found 1.1', 'x', 'a/b', '{"strength": 1.1}');
select pg_temp.refused('p_options: output_format must be png, jpg, jpeg or webp, found another', 'x', 'a/b', '{"output_format": "bmp"}');
select pg_temp.refused('p_options: idempotency_key must be a string of 1 to 200 characters', 'x', 'a/b', '{"idempotency_key": ""}');
select pg_temp.refused('p_options: source_image_urls must be a list of 1 to 20 strings, found a json array', 'x', 'a/b', '{"source_image_urls": [1]}');
select pg_temp.refused('p_options: source_image_url and source_image_urls are both there', 'x', 'a/b', '{"source_image_url": "a", "source_image_urls": ["a"]}');
select pg_temp.refused('p_options: source_image_urls[1]: must begin with https://', 'x', 'a/b', '{"source_image_urls": ["https://a.example/a", "http://a.example/a"]}');
select pg_temp.refused('the request must have at most 1048576 bytes', repeat('x', 1100000), 'a/b', '{}');
select pg_temp.refused('p_options must have no number of 1e308', 'x', 'a/b', '{"guidance_scale": 1e400}');

-- Who asks.
set local request.jwt.claims = '{"role": "authenticated"}';
select throws_like($$select request_generation('x', 'a/b')$$, 'sign in first: %', 'a token without a user');
set local request.jwt.claims = '';
select throws_like($$select my_limits()$$, 'sign in first: %', 'no token');
set local request.jwt.claims = '{"role": "authenticated", "sub": "a''b"}';
select throws_like($$select cancel_generation('x')$$, 'sign in first: %', 'a user that no payload may name');
select throws_ok($$select retry_generation('x')$$, 'PT403');
select * from finish();
rollback;
