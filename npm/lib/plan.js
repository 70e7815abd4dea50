// What is to be changed in a project: shown first, then carried out.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";

/**
 * @typedef {object} Change
 * @property {string} path  below the project, with forward slashes
 * @property {string | Uint8Array | null} content  null: it is removed
 * @property {boolean} isTheirs  somebody has changed what is there: it is asked for by itself
 * @property {boolean} [together]  one of the worker's files: where one of them is left as it is, all are
 * @property {string} [note]
 *
 * @typedef {object} Plan
 * @property {string} root  of the project
 * @property {string} title
 * @property {Change[]} changes
 * @property {string[]} warnings
 */

/** @param {Plan} plan */
export function describe({ title, changes, warnings, root }) {
  const line = (/** @type {Change} */ { path, content, isTheirs, note }) => {
    const what = content === null ? "remove" : "write ";
    return `  ${what}  ${path}${note ? `  (${note})` : ""}${isTheirs ? "  yours: asked for by itself" : ""}`;
  };
  const lines = changes.length === 0 ? ["  nothing to do"] : changes.map(line);
  return [
    `${title} in ${root}`,
    "",
    ...lines,
    ...warnings.map((warning) => `\n  ! ${warning}`),
  ].join("\n");
}

/**
 * Asks, unless `yes`, and does it.
 * @param {Plan} plan @param {boolean} yes @returns {Promise<"done" | "some left" | "not done">}
 */
export async function carryOut({ root, changes }, yes) {
  if (!process.stdin.isTTY && !yes) {
    console.error("\nNobody can be asked here: run it again with --yes to do that.");
    return "not done";
  }
  if (!yes && changes.some(({ isTheirs }) => !isTheirs) && !(await asked("\nDo that?"))) return "not done";
  const left = [];
  for (const change of changes.filter(({ isTheirs }) => isTheirs)) {
    const what = change.content === null ? "Remove" : "Overwrite";
    // --yes says yes to the plan, not to the loss of somebody's work.
    if (yes || !(await asked(`${what} ${change.path}, which is yours?`))) left.push(change);
  }
  const isHalf = left.some(({ together }) => together);
  for (const change of changes) {
    if (!left.includes(change) && !(isHalf && change.together)) apply(root, change);
  }
  if (left.length === 0) return "done";
  const names = left.map(({ path }) => path).join(", ");
  console.error(
    `\nLeft as they are, for they are yours: ${names}.${
      isHalf ? " The worker's other files were left, too: they belong together." : ""
    } Move them away, and run it again.`,
  );
  return "some left";
}

/** Whole or not at all, should this be cut short. @param {string} root @param {Change} change */
function apply(root, { path, content }) {
  const file = join(root, ...path.split("/"));
  if (content === null) {
    rmSync(file, { force: true });
    for (let above = dirname(file); above !== root && isEmpty(above); above = dirname(above)) rmdirSync(above);
    return;
  }
  mkdirSync(dirname(file), { recursive: true });
  const target = existsSync(file) ? realpathSync(file) : file;
  writeFileSync(`${target}.new`, content);
  renameSync(`${target}.new`, target);
}

/** @param {string} directory */
function isEmpty(directory) {
  return existsSync(directory) && readdirSync(directory).length === 0;
}

/** @param {string} question */
async function asked(question) {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await Promise.race([
    lines.question(`${question} [y/N] `),
    new Promise((resolve) => lines.once("close", () => resolve(""))),
  ]);
  lines.close();
  return /^y(es)?$/i.test(String(answer).trim());
}
