import { createClient } from "npm:@supabase/supabase-js@2";

const client = createClient(Deno.env.get("SUPABASE_URL")!, Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")!);

Deno.serve(() => Response.json({ success: client.rpc !== undefined }));
