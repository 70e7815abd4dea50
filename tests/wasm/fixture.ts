// What the tests of the wasm share.

export const ENVIRONMENT = {
  SUPABASE_URL: "https://ref.supabase.co",
  SUPABASE_SERVICE_ROLE_KEY: "key",
};

/** A download as it is claimed. */
export const CLAIMED_DOWNLOAD = {
  id: "11111111-1111-4111-8111-111111111111",
  job_type: "download-image",
  payload: {},
  attempt_number: 1,
  max_attempts: 3,
  lease_token: "22222222-2222-4222-8222-222222222222",
  lease_seconds: 60,
  life: 1,
  age_seconds: 0,
  search_from: "2026-11-23T09:59:00+00:00",
  seconds_until_next: null,
};
