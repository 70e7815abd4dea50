-- model_prices: what a model costs, in US dollars, one row a model; the operator's to edit. No upgrade changes a row.
--
-- model       as Replicate names it, `owner/name`, without a version
-- per_second  for each second that a prediction ran, whatever its end
-- per_image   for each picture that a prediction gave
-- as_of       when it was read
-- source      where it was read
--
-- A price counts for what is recorded from then on (record_usage).
do $$
begin
  if to_regclass('public.model_prices') is not null then
    return;
  end if;
  create table public.model_prices (
    model text primary key,
    per_second numeric,
    per_image numeric,
    as_of date not null default current_date,
    source text,
    constraint model_prices_model_is_a_name check (model ~ '^[^:A-Z]{1,200}$'),
    -- NaN counts as greater than every number.
    constraint model_prices_per_second_bounded check (per_second between 0 and 1000),
    constraint model_prices_per_image_bounded check (per_image between 0 and 1000)
  );
  revoke all on public.model_prices from public, anon, authenticated, service_role;
  grant select, insert, update, delete on public.model_prices to service_role;
  alter table public.model_prices enable row level security;
end
$$;

-- What Replicate publishes on its page of prices, read in a copy of that date. Of other models the price is on the model's own page, and is for the
-- operator to enter.
insert into public.model_prices (model, per_image, as_of, source)
values
  ('black-forest-labs/flux-schnell', 0.003, '2026-10-07', 'https://replicate.com/pricing, by a copy'),
  ('black-forest-labs/flux-dev', 0.025, '2026-10-07', 'https://replicate.com/pricing, by a copy'),
  ('black-forest-labs/flux-1.1-pro', 0.04, '2026-10-07', 'https://replicate.com/pricing, by a copy'),
  ('ideogram-ai/ideogram-v3-quality', 0.09, '2026-10-07', 'https://replicate.com/pricing, by a copy')
on conflict (model) do nothing;
