// A Supabase project on disk.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** The directory that has supabase/config.toml: the given one, else the next one above. @param {string} [directory] */
export function findProject(directory) {
  let at = resolve(directory ?? ".");
  for (;;) {
    if (existsSync(join(at, "supabase", "config.toml"))) return at;
    const above = dirname(at);
    if (directory !== undefined || above === at) {
      throw new Error(`there is no supabase/config.toml in ${resolve(directory ?? ".")}: run npx supabase init first`);
    }
    at = above;
  }
}

/** The files below a directory, with forward slashes. @param {string} directory @returns {string[]} */
export function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  if (!statSync(directory).isDirectory()) throw new Error(`${directory} is to be a directory`);
  const entries = readdirSync(directory).sort();
  return entries.flatMap((name) => {
    const path = join(directory, name);
    return existsSync(path) && statSync(path).isDirectory()
      ? filesBelow(path).map((below) => `${name}/${below}`)
      : [name];
  });
}

/** The names of the migrations: the CLI, too, looks at nothing below. @param {string} root @returns {string[]} */
export function migrationsOf(root) {
  const directory = join(root, "supabase", "migrations");
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.endsWith(".sql")).sort();
}

/** @param {string} path @returns {Buffer | undefined} */
export function read(path) {
  if (!existsSync(path)) return undefined;
  if (statSync(path).isDirectory()) throw new Error(`${path} is a directory, and a file is to be written there`);
  return readFileSync(path);
}

/**
 * The version of a new migration, 14 digits that come after all that are there: `db push` refuses older ones. The CLI
 * orders them as texts.
 * @param {string[]} names
 */
export function stampAfter(names) {
  const now = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
  const versions = names.map((name) => /^(\d+)_/.exec(name)?.[1] ?? "").sort();
  const last = versions.at(-1) ?? "";
  if (last < now) return now;
  const next = String(BigInt(last.slice(0, 14).padEnd(14, "0")) + 1n).padStart(14, "0");
  if (next.length > 14) throw new Error(`no migration can come after ${last}: rename that one`);
  return next;
}
