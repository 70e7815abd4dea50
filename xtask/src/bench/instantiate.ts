// Prints the milliseconds after which the worker's wasm is compiled, instantiated, and has answered its first call.
const pkg = new URL("../../../pkg/", import.meta.url);
const glue = await import(new URL("process_jobs_bg.js", pkg).href);
const bytes = await Deno.readFile(new URL("process_jobs_bg.wasm", pkg));

const started = performance.now();
const module = new WebAssembly.Module(bytes);
const compiled = performance.now();
const { exports } = new WebAssembly.Instance(module, { "./process_jobs_bg.js": glue });
glue.__wbg_set_wasm(exports);
(exports.__wbindgen_start as () => void)();
const instantiated = performance.now();
const request = { method: "GET", path: "/process-jobs/health", headers: {}, body: "" };
const answer = await glue.handle(request, { SUPABASE_URL: "http://127.0.0.1:9", SUPABASE_SERVICE_ROLE_KEY: "a-key" });
const answered = performance.now();

if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${answer.body}`);
console.log(JSON.stringify([compiled - started, instantiated - started, answered - started]));
