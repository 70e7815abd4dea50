// What an installation and its end change in a project.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withFunction, withoutFunction } from "./config.js";
import { filesBelow, migrationsOf, read, stampAfter } from "./project.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
export const version = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")).version;
const CONFIG = "supabase/config.toml";
const FUNCTION = "supabase/functions/process-jobs";
/** Which files were written, what they were, and how the settings were before: what somebody has changed since is known. */
const RECORD = `${FUNCTION}/installed.json`;
const INSTALL = /^\d+_process_jobs_(\d+)_(\d+)_(\d+)\.sql$/;
const UNINSTALL = /^\d+_uninstall_process_jobs\.sql$/;

/** Of a text without regard to its line ends, which git may change; what has a NUL is no text. @param {Buffer} bytes */
function hash(bytes) {
  const unix = bytes.includes(0) ? bytes : Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
  return createHash("sha256").update(unix).digest("hex");
}

/** @param {string} root @param {string} path */
const at = (root, path) => join(root, ...path.split("/"));

/** Our migrations since the last uninstall. @param {string[]} migrations */
function installedBy(migrations) {
  const ours = migrations.filter((name) => INSTALL.test(name) || UNINSTALL.test(name));
  return ours.slice(ours.findLastIndex((name) => UNINSTALL.test(name)) + 1);
}

/** @param {string} root @returns {{ version: string, files: Record<string, string>, config?: import("./config.js").Undo } | undefined} */
function installed(root) {
  const record = read(at(root, RECORD));
  if (!record) return undefined;
  try {
    const { version, files, config } = JSON.parse(record.toString());
    return { version: String(version), files: { ...files }, config };
  } catch {
    throw new Error(`${RECORD} cannot be read: restore it from your version control`);
  }
}

/** @param {string} root @param {string} command @returns {import("./plan.js").Plan} */
export function planInstall(root, command) {
  const before = installed(root);
  const migrations = migrationsOf(root);
  const migrated = installedBy(migrations).map((name) => INSTALL.exec(name)?.slice(1).join(".") ?? "");
  const newer = [before?.version ?? "", ...migrated]
    .find((other) => other.localeCompare(version, "en", { numeric: true }) > 0);
  if (newer) throw new Error(`${newer} is installed here, and this is ${version}: npx process-jobs@latest upgrade`);

  const title = before && before.version !== version
    ? `${command} ${before.version} to ${version}`
    : `${command} ${version}`;
  /** @type {import("./plan.js").Change[]} */
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
    changes.push({ path, content, isTheirs, together: true });
  }
  for (const [name, written] of Object.entries(before?.files ?? {})) {
    const path = `${FUNCTION}/${name}`;
    const there = read(at(root, path));
    if (name in files || !there) continue;
    changes.push({ path, content: null, isTheirs: hash(there) !== written, together: true });
  }

  if (!installedBy(migrations).some((name) => name.endsWith(`_process_jobs_${version.replaceAll(".", "_")}.sql`))) {
    changes.push({
      path: `supabase/migrations/${stampAfter(migrations)}_process_jobs_${version.replaceAll(".", "_")}.sql`,
      content: readFileSync(join(PACKAGE, "migration.sql")),
      isTheirs: false,
      note: "one transaction; moves into what is there",
    });
  }
  const config = read(at(root, CONFIG))?.toString() ?? "";
  const { text, undo, isSet } = withFunction(config);
  if (text !== config) {
    changes.push({ path: CONFIG, content: text, isTheirs: false, note: "[functions.process-jobs]" });
  }
  if (!isSet) {
    warnings.push(`${CONFIG} has the function in a form that is not changed here: set its verify_jwt = false yourself`);
  }
  const record = JSON.stringify({ version, files, config: undo ?? before?.config }, null, 2) + "\n";
  if (read(at(root, RECORD))?.toString().replaceAll("\r\n", "\n") !== record) {
    changes.push({ path: RECORD, content: record, isTheirs: false, together: true });
  }
  if (!("pkg/process_jobs_bg.wasm" in files)) {
    warnings.push("this package has no worker in it: it was not packed by its own chore");
  }
  return { root, title, changes, warnings };
}

/** @param {string} root @param {boolean} dropTables @returns {import("./plan.js").Plan} */
export function planUninstall(root, dropTables) {
  const before = installed(root);
  const migrations = migrationsOf(root);
  const config = read(at(root, CONFIG))?.toString() ?? "";
  const without = withoutFunction(config, before?.config);
  const isMigrated = installedBy(migrations).length > 0;
  if (!before && !isMigrated && without === config) {
    throw new Error(`process-jobs was not installed by this command here: there is no ${RECORD}`);
  }
  const files = before?.files ?? {};
  const left = filesBelow(at(root, FUNCTION)).filter((name) => !(name in files) && `${FUNCTION}/${name}` !== RECORD);
  const warnings = left.map((name) => `${FUNCTION}/${name} is not of process-jobs, and stays`);
  /** @type {import("./plan.js").Change[]} */
  const changes = [];
  // What tells that there is something to take out goes last, so that a run that was cut short can be run again.
  if (isMigrated) {
    const call = `process_jobs.uninstall(${dropTables ? "p_drop_tables => true" : ""})`;
    const sql = `do $$ begin if to_regnamespace('process_jobs') is not null then perform ${call}; end if; end $$;\n`;
    const path = `supabase/migrations/${stampAfter(migrations)}_uninstall_process_jobs.sql`;
    changes.push({ path, content: sql, isTheirs: false });
  }
  if (without !== config) changes.push({ path: CONFIG, content: without, isTheirs: false });
  for (const [name, written] of Object.entries(files)) {
    const there = read(at(root, `${FUNCTION}/${name}`));
    if (there) changes.push({ path: `${FUNCTION}/${name}`, content: null, isTheirs: hash(there) !== written });
  }
  // The record stays while a changed file does: the next run must know what is ours.
  if (before) changes.push({ path: RECORD, content: null, isTheirs: changes.some(({ isTheirs }) => isTheirs) });
  if (!dropTables) {
    warnings.push("tables that process-jobs has made stay, with what is in them (--drop-tables drops them)");
  }
  return { root, title: `uninstall ${before?.version ?? ""}`.trimEnd(), changes, warnings };
}
