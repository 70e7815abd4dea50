/* tslint:disable */
/* eslint-disable */

/** A request as the function sees it; header names in lower case. */
export interface FunctionRequest {
    method: string;
    path: string;
    headers: Record<string, string>;
    body: string;
}
/** The answer; with `drain`, call `drain` after it and keep the isolate alive until that is done. */
export interface FunctionAnswer {
    status: number;
    headers: [string, string][];
    body: string;
    drain: boolean;
}
/** Whether a request, its body not read yet, is let in and its body is needed; else the answer. */
export function admit(request: FunctionRequest, env: Record<string, string>): FunctionAnswer | boolean;
export function handle(request: FunctionRequest, env: Record<string, string>): Promise<FunctionAnswer>;
export function drain(env: Record<string, string>): Promise<void>;
export function close(): void;



/**
 * Sets the platform's URL parser; logs a panic's message before the trap ends everything.
 */
export function start(): void;
