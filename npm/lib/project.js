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
      throw new Error(
        `there is no supabase/config.toml in ${resolve(directory ?? ".")}: run npx supabase init first`,
      );
    }
    at = above;
  }
}

/** The files below a directory, with forward slashes. @param {string} directory @returns {string[]} */
export function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).sort();
  return names.flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? filesBelow(path).map((below) => `${name}/${below}`) : [name];
  });
}

/** @param {string} path @returns {Buffer | undefined} */
export function read(path) {
  return existsSync(path) ? readFileSync(path) : undefined;
}

/** A time for a new migration, after all that are there: `db push` refuses older ones. @param {string[]} names */
export function stampAfter(names) {
  const now = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
  const stamps = names.map((name) => /^(\d{14})_/.exec(name)?.[1] ?? "").sort();
  const last = stamps.at(-1) ?? "";
  return last < now ? now : String(BigInt(last) + 1n);
}

const HEADER = /^\s*\[functions\.(?:process-jobs|"process-jobs")\]\s*(?:#.*)?$/;

/** config.toml with the function's settings; all else, comments too, as it is. @param {string} config */
export function withFunction(config) {
  const eol = config.includes("\r\n") ? "\r\n" : "\n";
  const lines = config.split(/\r?\n/);
  const at = lines.findIndex((line) => HEADER.test(line));
  if (at < 0) {
    const added = [
      "",
      "[functions.process-jobs]",
      "# It checks its callers itself; the platform's check lets everybody's anon key through.",
      "verify_jwt = false",
      "",
    ];
    return config.replace(/\s*$/, eol) + added.join(eol);
  }
  const next = lines.findIndex((line, index) => index > at && /^\s*\[/.test(line));
  const end = next < 0 ? lines.length : next;
  const setting = lines.findIndex((line, index) => index > at && index < end && /^\s*verify_jwt\s*=/.test(line));
  if (setting < 0) lines.splice(at + 1, 0, "verify_jwt = false");
  else lines[setting] = lines[setting].replace(/=\s*\w+/, "= false");
  return lines.join(eol);
}

/** config.toml without what `withFunction` has added, where it is as that wrote it. @param {string} config */
export function withoutFunction(config) {
  const eol = config.includes("\r\n") ? "\r\n" : "\n";
  const lines = config.split(/\r?\n/);
  const at = lines.findIndex((line) => HEADER.test(line));
  const ours = [
    "[functions.process-jobs]",
    "# It checks",
    "verify_jwt = false",
  ];
  if (
    at < 0 || !ours.every((line, index) => lines[at + index]?.startsWith(line))
  ) return config;
  const rest = lines.slice(at + ours.length);
  const next = rest.find((line) => line.trim() !== "");
  if (next !== undefined && !/^\s*[[#]/.test(next)) return config;
  const before = lines[at - 1]?.trim() === "" ? at - 1 : at;
  return [...lines.slice(0, before), ...rest].join(eol);
}
