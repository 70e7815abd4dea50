/* tslint:disable */
/* eslint-disable */
export const memory: WebAssembly.Memory;
export const admit: (a: any, b: any) => [number, number, number];
export const close: () => void;
export const drain: (a: any) => any;
export const handle: (a: any, b: any) => any;
export const start: () => void;
export const wasm_bindgen_3028394397962703___convert__closures_____invoke___js_sys_e4a88a313aa6905___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined___js_sys_e4a88a313aa6905___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined_______true_: (a: number, b: number, c: any, d: any) => void;
export const wasm_bindgen_3028394397962703___convert__closures_____invoke___wasm_bindgen_3028394397962703___JsValue__core_fb20295a61c38ce1___result__Result_____wasm_bindgen_3028394397962703___JsError___true_: (a: number, b: number, c: any) => [number, number];
export const wasm_bindgen_3028394397962703___convert__closures_____invoke___web_sys_382c790ae3f6013d___features__gen_ReadableStreamDefaultController__ReadableStreamDefaultController__js_sys_e4a88a313aa6905___Promise__true_: (a: number, b: number, c: any) => any;
export const wasm_bindgen_3028394397962703___convert__closures_____invoke_______true_: (a: number, b: number) => void;
export const __wbindgen_malloc: (a: number, b: number) => number;
export const __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
export const __wbindgen_free: (a: number, b: number, c: number) => void;
export const __wbindgen_exn_store: (a: number) => void;
export const __externref_table_alloc: () => number;
export const __wbindgen_externrefs: WebAssembly.Table;
export const __wbindgen_destroy_closure: (a: number, b: number) => void;
export const __externref_table_dealloc: (a: number) => void;
export const __wbindgen_start: () => void;
