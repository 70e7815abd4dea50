// supabase/config.toml with the function's settings in it: edited as text, so that comments and all else stay, and read
// before and after by a TOML parser, so that nothing but that one setting has changed.

import { isDeepStrictEqual } from "node:util";
import { parse } from "smol-toml";

/**
 * How the edit is undone: our section goes, or our line in theirs, or theirs comes back.
 * @typedef {{ kind: "section", endedInLine: boolean } | { kind: "line" } | { kind: "value", was: string }} Undo
 */

const SECTION = [
  "[functions.process-jobs]",
  "# It checks its callers itself; the platform's check lets everybody's anon key through.",
  "verify_jwt = false",
];
const HEADER = /^\uFEFF?\s*\[\s*["']?functions["']?\s*\.\s*["']?process-jobs["']?\s*\]\s*(?:#.*)?\r?$/;
const ANY_HEADER = /^\s*\[\[?[^[\],]+\]\]?\s*(?:#.*)?\r?$/;
const SETTING = /^\s*["']?verify_jwt["']?\s*=/;

/** @param {string} text @returns {any} */
function read(text) {
  try {
    // Cloned, for its objects have no prototype and would equal no others.
    return structuredClone(parse(text.replace(/^\uFEFF/, "")));
  } catch (error) {
    const what = /** @type {Error} */ (error).message.split("\n")[0];
    throw new Error(`supabase/config.toml is no TOML: ${what}`);
  }
}

/**
 * The text with `verify_jwt = false` for the function. Undo undefined: it was so before, or, where `isSet` is false, it
 * is written in a way that is not changed here.
 * @param {string} text @returns {{ text: string, undo?: Undo, isSet: boolean }}
 */
export function withFunction(text) {
  const wanted = read(text);
  if (wanted.functions?.["process-jobs"]?.verify_jwt === false) return { text, isSet: true };
  try {
    wanted.functions = {
      ...wanted.functions,
      "process-jobs": { ...wanted.functions?.["process-jobs"], verify_jwt: false },
    };
    const edited = edit(text);
    if (isDeepStrictEqual(read(edited.text), wanted)) return { ...edited, isSet: true };
  } catch {
    // Not TOML any more.
  }
  return { text, isSet: false };
}

/** @param {string} text @returns {{ text: string, undo: Undo }} */
function edit(text) {
  const lines = text.split("\n");
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const at = lines.findIndex((line) => HEADER.test(line));
  if (at < 0) {
    const endedInLine = text !== "" && !text.endsWith("\n");
    const added = ["", ...SECTION, ""].join(eol);
    return { text: text + (endedInLine ? eol : "") + added, undo: { kind: "section", endedInLine } };
  }
  const setting = settingOf(lines, at);
  const end = lines[at].endsWith("\r") ? "\r" : "";
  if (setting < 0) {
    lines.splice(at + 1, 0, `verify_jwt = false${end}`);
    return { text: lines.join("\n"), undo: { kind: "line" } };
  }
  const was = lines[setting];
  lines[setting] = was.replace(/=\s*(?:"[^"]*"|'[^']*'|\w+)/, "= false");
  return { text: lines.join("\n"), undo: { kind: "value", was } };
}

/** The line of the setting in the section that begins there, or -1. @param {string[]} lines @param {number} at */
function settingOf(lines, at) {
  for (let index = at + 1; index < lines.length && !ANY_HEADER.test(lines[index]); index++) {
    if (SETTING.test(lines[index])) return index;
  }
  return -1;
}

/** The text as it was before `withFunction`, where what that wrote is still there. @param {string} text @param {Undo} [undo] */
export function withoutFunction(text, undo = { kind: "section", endedInLine: false }) {
  const lines = text.split("\n");
  const at = lines.findIndex((line) => HEADER.test(line));
  if (at < 0) return text;
  if (undo.kind === "section") {
    const isOurs = SECTION.every((line, index) => lines[at + index]?.trimEnd() === line);
    const next = lines.slice(at + SECTION.length).find((line) => line.trim() !== "");
    // Nor is a section that has got more since.
    if (!isOurs || (next !== undefined && !/^\s*[[#]/.test(next))) return text;
    const before = at > 0 && lines[at - 1].trim() === "" ? at - 1 : at;
    const rest = [...lines.slice(0, before), ...lines.slice(at + SECTION.length)].join("\n");
    return undo.endedInLine ? rest.replace(/\r?\n$/, "") : rest;
  }
  const setting = settingOf(lines, at);
  if (setting < 0 || !/=\s*false\b/.test(lines[setting])) return text;
  if (undo.kind === "line") lines.splice(setting, 1);
  else lines[setting] = undo.was;
  return lines.join("\n");
}
