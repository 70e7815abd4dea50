/* @ts-self-types="./process_jobs.d.ts" */
import * as wasm from "./process_jobs_bg.wasm";
import { __wbg_set_wasm } from "./process_jobs_bg.js";

__wbg_set_wasm(wasm);
wasm.__wbindgen_start();
export {
    admit, close, drain, handle, start
} from "./process_jobs_bg.js";
