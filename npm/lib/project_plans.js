// What an installation and its end change in a project.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { filesBelow, read, stampAfter, withFunction, withoutFunction } from "./project.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
export const version = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")).version;
const FUNCTION = "supabase/functions/process-jobs";
/** Which files were written, and what they were: so that what somebody has changed since is known. */
const RECORD = `${FUNCTION}/installed.json`;
const MIGRATION = /^\d+_process_jobs_(\d+)_(\d+)_(\d+)\.sql$/;

const hash = (/** @type {Uint8Array} */ bytes) => createHash("sha256").update(bytes).digest("hex");

/** @param {string} root @param {string} path */
const at = (root, path) => join(root, ...path.split("/"));

/** @param {string} root @returns {{ version: string, files: Record<string, string> } | undefined} */
function installed(root) {
  const record = read(at(root, RECORD));
  return record && JSON.parse(record.toString());
}

/** @param {string} root @param {string} command @returns {import("./plan.js").Plan} */
export function planInstall(root, command) {
  const before = installed(root);
  const title = before && before.version !== version
    ? `${command} ${before.version} to ${version}`
    : `${command} ${version}`;
  const changes = [];
  const warnings = [];
  /** @type {Record<string, string>} */
  const files = {};
  for (const name of filesBelow(join(PACKAGE, "function"))) {
    const path = `${FUNCTION}/${name}`;
    const content = readFileSync(join(PACKAGE, "function", ...name.split("/")));
    files[name] = hash(content);
    const there = read(at(root, path));
    if (there && hash(there) === files[name]) continue;
    // Theirs is what is not as it was written.
    const isTheirs = there !== undefined && hash(there) !== before?.files[name];
    changes.push({ path, content, isTheirs });
  }
  for (const name of Object.keys(before?.files ?? {})) {
    const path = `${FUNCTION}/${name}`;
    const there = read(at(root, path));
    if (name in files || !there) continue;
    changes.push({
      path,
      content: null,
      isTheirs: hash(there) !== before?.files[name],
    });
  }
  const record = JSON.stringify({ version, files }, null, 2) + "\n";
  if (read(at(root, RECORD))?.toString() !== record) {
    changes.push({ path: RECORD, content: record, isTheirs: false });
  }

  const migrations = filesBelow(at(root, "supabase/migrations")).filter((
    name,
  ) => name.endsWith(".sql"));
  const ours = `process_jobs_${version.replaceAll(".", "_")}.sql`;
  const migration = readFileSync(join(PACKAGE, "migration.sql"));
  if (
    !migrations.some((name) => MIGRATION.test(name) && name.endsWith(`_${ours}`))
  ) {
    const path = `supabase/migrations/${stampAfter(migrations)}_${ours}`;
    changes.push({
      path,
      content: migration,
      isTheirs: false,
      note: "one transaction; moves into what is there",
    });
  }
  const config = read(at(root, "supabase/config.toml"))?.toString() ?? "";
  if (withFunction(config) !== config) {
    changes.push({
      path: "supabase/config.toml",
      content: withFunction(config),
      isTheirs: false,
      note: "[functions.process-jobs]",
    });
  }
  if (!("pkg/process_jobs_bg.wasm" in files)) {
    warnings.push(
      "this package has no worker in it: it was not packed by its own chore",
    );
  }
  return { root, title, changes, warnings };
}

/** @param {string} root @param {boolean} dropTables @returns {import("./plan.js").Plan} */
export function planUninstall(root, dropTables) {
  const before = installed(root);
  if (!before) {
    throw new Error(
      `process-jobs was not installed by this command here: there is no ${RECORD}`,
    );
  }
  const changes = Object.entries(before.files).flatMap(([name, written]) => {
    const there = read(at(root, `${FUNCTION}/${name}`));
    return there
      ? [{
        path: `${FUNCTION}/${name}`,
        content: null,
        isTheirs: hash(there) !== written,
      }]
      : [];
  });
  const left = filesBelow(at(root, FUNCTION)).filter((name) =>
    !(name in before.files) && `${FUNCTION}/${name}` !== RECORD
  );
  const isEmpty = left.length === 0 &&
    changes.every(({ isTheirs }) => !isTheirs);
  changes.push({
    path: isEmpty ? FUNCTION : RECORD,
    content: null,
    isTheirs: false,
  });
  const config = read(at(root, "supabase/config.toml"))?.toString() ?? "";
  const warnings = left.map((name) => `${FUNCTION}/${name} is not of process-jobs, and stays`);
  if (withoutFunction(config) !== config) {
    changes.push({
      path: "supabase/config.toml",
      content: withoutFunction(config),
      isTheirs: false,
    });
  }
  const migrations = filesBelow(at(root, "supabase/migrations")).filter((
    name,
  ) => name.endsWith(".sql"));
  const sql = `select process_jobs.uninstall(${dropTables ? "p_drop_tables => true" : ""});\n`;
  const path = `supabase/migrations/${stampAfter(migrations)}_uninstall_process_jobs.sql`;
  changes.push({ path, content: sql, isTheirs: false });
  if (!dropTables) {
    warnings.push(
      "tables that process-jobs has made stay, with what is in them (--drop-tables drops them)",
    );
  }
  return { root, title: `uninstall ${before.version}`, changes, warnings };
}
