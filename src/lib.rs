//! A background job worker that lives in a Supabase project.
