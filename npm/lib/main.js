// The commands: what each is given, what it says, and its exit code (0 done, 1 not done, 2 not understood).

import { parseArgs } from "node:util";
import { diagnose } from "./doctor.js";
import { carryOut, describe } from "./plan.js";
import { findProject } from "./project.js";
import { planInstall, planUninstall, version } from "./project_plans.js";

const HELP = `process-jobs ${version}: a background job worker in your Supabase project

  npx process-jobs install      put the function, its migration and its settings into this project
  npx process-jobs upgrade      bring them to this version
  npx process-jobs uninstall    take them out, and write the migration that gives the database back
  npx process-jobs doctor       ask the running project whether all is as it must be

  --dir <path>      the project, with supabase/config.toml in it (default: here, or the next one above)
  --yes             do not ask; files that are yours are left
  --drop-tables     uninstall: with the tables that process-jobs has made, and what is in them
  --url, --key      doctor: https://<project>.supabase.co and a secret key (or SUPABASE_URL, SUPABASE_SECRET_KEY)
`;

/** @param {string[]} words @returns {Promise<number>} */
export async function main(words) {
  let parsed;
  try {
    parsed = parseArgs({
      args: words,
      allowPositionals: true,
      options: {
        dir: { type: "string" },
        yes: { type: "boolean", default: false },
        "drop-tables": { type: "boolean", default: false },
        url: { type: "string" },
        key: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
  const { values, positionals } = parsed;
  const [command, ...rest] = positionals;
  if (values.help || command === undefined) {
    console.log(HELP);
    return command === undefined && !values.help ? 2 : 0;
  }
  if (rest.length > 0) {
    return refuse(`one command at a time, not ${rest.join(" ")}`);
  }
  try {
    switch (command) {
      case "install":
      case "upgrade":
        return await change(
          planInstall(findProject(values.dir), command),
          values.yes,
          NEXT,
        );
      case "uninstall":
        return await change(
          planUninstall(findProject(values.dir), values["drop-tables"]),
          values.yes,
          AFTER_UNINSTALL,
        );
      case "doctor":
        return await diagnose(values.url, values.key);
      default:
        return refuse(`there is no command ${command}`);
    }
  } catch (error) {
    console.error(`process-jobs: ${/** @type {Error} */ (error).message}`);
    return 1;
  }
}

const NEXT = `
Next, with the Supabase CLI:

  npx supabase login && npx supabase link     once
  npx supabase db push --remote               --include-all, if it says that the migration comes before your newest one
  npx supabase secrets set REPLICATE_API_TOKEN=<token>
  npx supabase functions deploy process-jobs

then, in the SQL editor, with a secret key of the project:

  select schedule_process_jobs('https://<project>.supabase.co/functions/v1/process-jobs', '<secret key>');
  select * from process_jobs_doctor();
`;

const AFTER_UNINSTALL = `
Next, with the Supabase CLI:

  npx supabase db push --remote
  npx supabase functions delete process-jobs
`;

/** @param {string} why */
function refuse(why) {
  console.error(`process-jobs: ${why}\n\n${HELP}`);
  return 2;
}

/**
 * Shows a plan, asks, and carries it out.
 * @param {import("./plan.js").Plan} plan @param {boolean} yes @param {string} next
 */
async function change(plan, yes, next) {
  console.log(describe(plan));
  if (plan.changes.length === 0) return 0;
  const outcome = await carryOut(plan, yes);
  if (outcome !== "not done") console.log(next);
  return outcome === "done" ? 0 : 1;
}
