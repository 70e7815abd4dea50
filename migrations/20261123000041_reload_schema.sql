-- Tells PostgREST that there are new tables and functions.
notify pgrst, 'reload schema';
