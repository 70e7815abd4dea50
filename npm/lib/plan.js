// What is to be changed in a project: shown first, then carried out.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";

/**
 * @typedef {object} Change
 * @property {string} path  below the project, with forward slashes
 * @property {string | Uint8Array | null} content  null: it is removed
 * @property {boolean} isTheirs  somebody has changed what is there: it is asked for by itself
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

/** Asks, unless `yes`, and does it all. False: not all of it was done. @param {Plan} plan @param {boolean} yes */
export async function carryOut({ root, changes }, yes) {
  const isOurs = changes.filter((change) => !change.isTheirs);
  const theirs = changes.filter((change) => change.isTheirs);
  if (!process.stdin.isTTY && !yes) {
    console.error(
      "\nNobody can be asked here: run it again with --yes to do that.",
    );
    return false;
  }
  if (!yes && isOurs.length > 0 && !(await asked("\nDo that?"))) return false;
  const agreed = [...isOurs];
  const left = [];
  for (const change of theirs) {
    const what = change.content === null ? "Remove" : "Overwrite";
    // --yes says yes to the plan, not to the loss of somebody's work.
    if (
      process.stdin.isTTY &&
      (await asked(`${what} ${change.path}, which is yours?`))
    ) agreed.push(change);
    else left.push(change.path);
  }
  for (const { path, content } of agreed) {
    const file = join(root, ...path.split("/"));
    if (content === null) {
      rmSync(file, { recursive: true, force: true });
    } else {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
  }
  if (left.length > 0) {
    console.error(
      `\nLeft as they are, for they are yours: ${left.join(", ")}. Move them away, and run it again.`,
    );
  }
  return left.length === 0;
}

/** @param {string} question */
async function asked(question) {
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
  });
  const answer = await lines.question(`${question} [y/N] `);
  lines.close();
  return /^y(es)?$/i.test(answer.trim());
}
