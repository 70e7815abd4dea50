/* tslint:disable */
/* eslint-disable */
export const memory: WebAssembly.Memory;
export const close: () => void;
export const drain: (a: any) => any;
export const handle: (a: any, b: any) => any;
export const start: () => void;
export const wasm_bindgen_ba6a51f50f66efab___convert__closures_____invoke___js_sys_d5e9a47aa9c4e00d___Function_fn_wasm_bindgen_ba6a51f50f66efab___JsValue_____wasm_bindgen_ba6a51f50f66efab___sys__Undefined___js_sys_d5e9a47aa9c4e00d___Function_fn_wasm_bindgen_ba6a51f50f66efab___JsValue_____wasm_bindgen_ba6a51f50f66efab___sys__Undefined_______true_: (a: number, b: number, c: any, d: any) => void;
export const wasm_bindgen_ba6a51f50f66efab___convert__closures_____invoke___wasm_bindgen_ba6a51f50f66efab___JsValue__core_693f268b3103fce3___result__Result_____wasm_bindgen_ba6a51f50f66efab___JsError___true_: (a: number, b: number, c: any) => [number, number];
export const wasm_bindgen_ba6a51f50f66efab___convert__closures_____invoke___wasm_bindgen_ba6a51f50f66efab___JsValue__wasm_bindgen_ba6a51f50f66efab___JsValue__true_: (a: number, b: number, c: any) => any;
export const wasm_bindgen_ba6a51f50f66efab___convert__closures_____invoke_______true_: (a: number, b: number) => void;
export const __wbindgen_malloc: (a: number, b: number) => number;
export const __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
export const __wbindgen_free: (a: number, b: number, c: number) => void;
export const __wbindgen_exn_store: (a: number) => void;
export const __externref_table_alloc: () => number;
export const __wbindgen_externrefs: WebAssembly.Table;
export const __wbindgen_destroy_closure: (a: number, b: number) => void;
export const __externref_table_dealloc: (a: number) => void;
export const __wbindgen_start: () => void;
