/**
 * Returns whether the admitted request's body is needed, or the answer.
 * @param {any} request
 * @param {any} env
 * @returns {any}
 */
export function admit(request, env) {
    const ret = wasm.admit(request, env);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return takeFromExternrefTable0(ret[0]);
}

/**
 * The platform is about to end the isolate: nothing more is begun, and current runs go on.
 */
export function close() {
    wasm.close();
}

/**
 * Drains the queue and logs the result. One background drain runs at a time: it is notified of this call, and another
 * follows only if it could claim no more.
 * @param {any} env
 * @returns {Promise<any>}
 */
export function drain(env) {
    const ret = wasm.drain(env);
    return ret;
}

/**
 * Answers one request. An invalid setting is a 500 whose sentence names it.
 * @param {any} request
 * @param {any} env
 * @returns {Promise<any>}
 */
export function handle(request, env) {
    const ret = wasm.handle(request, env);
    return ret;
}

/**
 * Sets the platform's URL parser; logs a panic's message before the trap ends everything.
 */
export function start() {
    wasm.start();
}
export function __wbg___wbindgen_is_function_741ff2bb612836f5(arg0) {
    const ret = typeof(arg0) === 'function';
    return ret;
}
export function __wbg___wbindgen_is_undefined_be5b34249ff1fc15(arg0) {
    const ret = arg0 === undefined;
    return ret;
}
export function __wbg___wbindgen_string_get_7ce8eee7fd327545(arg0, arg1) {
    const obj = arg1;
    const ret = typeof(obj) === 'string' ? obj : undefined;
    var ptr1 = isLikeNone(ret) ? 0 : passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    var len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}
export function __wbg___wbindgen_throw_4c88d8bf264fd984(arg0, arg1) {
    throw new Error(getStringFromWasm0(arg0, arg1));
}
export function __wbg__wbg_cb_unref_09736879a3f67559(arg0) {
    arg0._wbg_cb_unref();
}
export function __wbg_abort_d3b62653236ec492(arg0, arg1) {
    arg0.abort(arg1);
}
export function __wbg_abort_f8d1589eb0c65ee2(arg0) {
    arg0.abort();
}
export function __wbg_aborted_31456edf1be00084(arg0) {
    const ret = arg0.aborted;
    return ret;
}
export function __wbg_arrayBuffer_2c99a9ba14ba536c() { return handleError(function (arg0) {
    const ret = arg0.arrayBuffer();
    return ret;
}, arguments); }
export function __wbg_body_0da01a9a056907d8(arg0) {
    const ret = arg0.body;
    return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
}
export function __wbg_body_9304b9e91705c426(arg0, arg1) {
    const ret = arg1.body;
    const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}
export function __wbg_call_a410eb4b59ed5965() { return handleError(function (arg0, arg1, arg2) {
    const ret = arg0.call(arg1, arg2);
    return ret;
}, arguments); }
export function __wbg_clearTimeout_3629d6209dfcc46e(arg0) {
    const ret = clearTimeout(arg0);
    return ret;
}
export function __wbg_close_294d3f727cb7a844() { return handleError(function (arg0) {
    arg0.close();
}, arguments); }
export function __wbg_done_1e1588dc9e32bc19(arg0) {
    const ret = arg0.done;
    return ret;
}
export function __wbg_enqueue_c11626eae1c54509() { return handleError(function (arg0, arg1) {
    arg0.enqueue(arg1);
}, arguments); }
export function __wbg_entries_7bb1459bd9b5c2b9(arg0) {
    const ret = Object.entries(arg0);
    return ret;
}
export function __wbg_error_4c23aa74949f9286(arg0, arg1) {
    console.error(getStringFromWasm0(arg0, arg1));
}
export function __wbg_fetch_bf2be70cf7e3d0b5(arg0, arg1, arg2) {
    const ret = fetch(getStringFromWasm0(arg0, arg1), arg2);
    return ret;
}
export function __wbg_from_eac91875c8a5ffa4(arg0) {
    const ret = Array.from(arg0);
    return ret;
}
export function __wbg_getReader_fadcafe607253a67(arg0) {
    const ret = arg0.getReader();
    return ret;
}
export function __wbg_get_2080c49015e35254() { return handleError(function (arg0, arg1) {
    const ret = Reflect.get(arg0, arg1);
    return ret;
}, arguments); }
export function __wbg_get_556f1c9a5c587e8c() { return handleError(function (arg0, arg1, arg2, arg3) {
    const ret = arg1.get(getStringFromWasm0(arg2, arg3));
    var ptr1 = isLikeNone(ret) ? 0 : passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    var len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}, arguments); }
export function __wbg_get_bb8b6b35041e00c9() { return handleError(function (arg0, arg1) {
    const ret = Reflect.get(arg0, arg1 >>> 0);
    return ret;
}, arguments); }
export function __wbg_get_unchecked_e6325ad374eff861(arg0, arg1) {
    const ret = arg0[arg1 >>> 0];
    return ret;
}
export function __wbg_has_4893849f7bfec3df() { return handleError(function (arg0, arg1, arg2) {
    const ret = arg0.has(getStringFromWasm0(arg1, arg2));
    return ret;
}, arguments); }
export function __wbg_headers_5a53d7dacdf290c8(arg0) {
    const ret = arg0.headers;
    return ret;
}
export function __wbg_headers_5fc0106c076eb731(arg0) {
    const ret = arg0.headers;
    return ret;
}
export function __wbg_href_db06ab41f1e6885a(arg0, arg1) {
    const ret = arg1.href;
    const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}
export function __wbg_length_186163212ffe79c3(arg0) {
    const ret = arg0.length;
    return ret;
}
export function __wbg_length_b03a0fabb109b1e9(arg0) {
    const ret = arg0.length;
    return ret;
}
export function __wbg_log_9c6d12db93bb1dd3(arg0, arg1) {
    console.log(getStringFromWasm0(arg0, arg1));
}
export function __wbg_method_9f125db293bf50cb(arg0, arg1) {
    const ret = arg1.method;
    const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}
export function __wbg_new_13de428334042d26(arg0) {
    const ret = new Uint8Array(arg0);
    return ret;
}
export function __wbg_new_37eb45aaf5eeb820() {
    const ret = new Array();
    return ret;
}
export function __wbg_new_5f28518387ad0e34() { return handleError(function () {
    const ret = new AbortController();
    return ret;
}, arguments); }
export function __wbg_new_91f33925258c4175() { return handleError(function (arg0, arg1, arg2, arg3) {
    const ret = new URL(getStringFromWasm0(arg0, arg1), arg2 === 0 ? undefined : getStringFromWasm0(arg2, arg3));
    return ret;
}, arguments); }
export function __wbg_new_cd4348290afae586() {
    const ret = new Object();
    return ret;
}
export function __wbg_new_typed_e09da9dae6ee5935(arg0, arg1) {
    try {
        var state0 = {a: arg0, b: arg1};
        var cb0 = (arg0, arg1) => {
            const a = state0.a;
            state0.a = 0;
            try {
                return wasm_bindgen_3028394397962703___convert__closures_____invoke___js_sys_efb10e54109db7a3___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined___js_sys_efb10e54109db7a3___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined_______true_(a, state0.b, arg0, arg1);
            } finally {
                state0.a = a;
            }
        };
        const ret = new Promise(cb0);
        return ret;
    } finally {
        state0.a = 0;
    }
}
export function __wbg_new_with_length_01b143a7e5dd5a3e(arg0) {
    const ret = new Uint8Array(arg0 >>> 0);
    return ret;
}
export function __wbg_new_with_underlying_source_773c33d935d90014() { return handleError(function (arg0) {
    const ret = new ReadableStream(arg0);
    return ret;
}, arguments); }
export function __wbg_now_0886912f06f8f9e0() {
    const ret = performance.now();
    return ret;
}
export function __wbg_now_9d126f20b8f01730() {
    const ret = Date.now();
    return ret;
}
export function __wbg_parse_c3f72b5a24f83c01() { return handleError(function (arg0, arg1) {
    const ret = JSON.parse(getStringFromWasm0(arg0, arg1));
    return ret;
}, arguments); }
export function __wbg_path_0727cdb90d0fa4e0(arg0, arg1) {
    const ret = arg1.path;
    const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}
export function __wbg_prototypesetcall_13162965d1fe7aa3(arg0, arg1, arg2) {
    Uint8Array.prototype.set.call(getArrayU8FromWasm0(arg0, arg1), arg2);
}
export function __wbg_queueMicrotask_1e8503a8a690f0a3(arg0) {
    const ret = arg0.queueMicrotask;
    return ret;
}
export function __wbg_queueMicrotask_4a1a4d8dd332373b(arg0) {
    queueMicrotask(arg0);
}
export function __wbg_randomUUID_95867697b6fa4de2(arg0) {
    const ret = crypto.randomUUID();
    const ptr1 = passStringToWasm0(ret, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
    const len1 = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 1, len1, true);
    getDataViewMemory0().setInt32((arg0 >>> 0) + 4 * 0, ptr1, true);
}
export function __wbg_read_e3bea75dace70752(arg0) {
    const ret = arg0.read();
    return ret;
}
export function __wbg_resolveDns_b4bc332f8deb6fb7() { return handleError(function (arg0, arg1, arg2, arg3) {
    const ret = Deno.resolveDns(getStringFromWasm0(arg0, arg1), getStringFromWasm0(arg2, arg3));
    return ret;
}, arguments); }
export function __wbg_resolve_dbf78ab4942478b0(arg0) {
    const ret = Promise.resolve(arg0);
    return ret;
}
export function __wbg_setTimeout_fbd69c6576710fc6() { return handleError(function (arg0, arg1) {
    const ret = setTimeout(arg0, arg1);
    return ret;
}, arguments); }
export function __wbg_set_118fefd528ab0a79(arg0, arg1, arg2) {
    arg0.set(arg1, arg2 >>> 0);
}
export function __wbg_set_2793479888329cb6() { return handleError(function (arg0, arg1, arg2) {
    const ret = Reflect.set(arg0, arg1, arg2);
    return ret;
}, arguments); }
export function __wbg_set_body_686a7940af2550fc(arg0, arg1) {
    arg0.body = arg1;
}
export function __wbg_set_d2d33b52458e984a(arg0, arg1, arg2) {
    arg0[arg1 >>> 0] = arg2;
}
export function __wbg_set_duplex_a9f27832d1dbf527(arg0, arg1, arg2) {
    arg0.duplex = getStringFromWasm0(arg1, arg2);
}
export function __wbg_set_e4b9a833d288759a(arg0, arg1, arg2) {
    arg0[arg1] = arg2;
}
export function __wbg_set_signal_d9439ce28f0792fb(arg0, arg1) {
    arg0.signal = arg1;
}
export function __wbg_signal_fac908876f45725d(arg0) {
    const ret = arg0.signal;
    return ret;
}
export function __wbg_static_accessor_GLOBAL_THIS_003ee833af9699fc() {
    const ret = typeof globalThis === 'undefined' ? undefined : globalThis;
    return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
}
export function __wbg_static_accessor_GLOBAL_e4293fb22cbe77da() {
    const ret = typeof global === 'undefined' ? undefined : global;
    return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
}
export function __wbg_static_accessor_SELF_53bb20457401453d() {
    const ret = typeof self === 'undefined' ? undefined : self;
    return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
}
export function __wbg_static_accessor_WINDOW_b5e0810bfecb7feb() {
    const ret = typeof window === 'undefined' ? undefined : window;
    return isLikeNone(ret) ? 0 : addToExternrefTable0(ret);
}
export function __wbg_status_cb85b6c8d1769fa1(arg0) {
    const ret = arg0.status;
    return ret;
}
export function __wbg_then_656f253a5dd7d8ea(arg0, arg1, arg2) {
    const ret = arg0.then(arg1, arg2);
    return ret;
}
export function __wbg_then_e3f7f2d365708be8(arg0, arg1) {
    const ret = arg0.then(arg1);
    return ret;
}
export function __wbg_value_6987d58c2af240a0(arg0) {
    const ret = arg0.value;
    return ret;
}
export function __wbg_warn_a45d73f0cc9aae62(arg0, arg1) {
    console.warn(getStringFromWasm0(arg0, arg1));
}
export function __wbindgen_generic_0000000000000001(arg0, arg1) {
    // Cast intrinsic for `Closure(Closure { owned: true, function: Function { arguments: [Externref], shim_idx: 40, ret: Result(Unit), inner_ret: Some(Result(Unit)) }, mutable: true }) -> Externref`.
    const ret = makeMutClosure(arg0, arg1, wasm_bindgen_3028394397962703___convert__closures_____invoke___wasm_bindgen_3028394397962703___JsValue__core_fb20295a61c38ce1___result__Result_____wasm_bindgen_3028394397962703___JsError___true_);
    return ret;
}
export function __wbindgen_generic_0000000000000002(arg0, arg1) {
    // Cast intrinsic for `Closure(Closure { owned: true, function: Function { arguments: [NamedExternref("ReadableStreamDefaultController")], shim_idx: 7, ret: NamedExternref("Promise<any>"), inner_ret: Some(NamedExternref("Promise<any>")) }, mutable: true }) -> Externref`.
    const ret = makeMutClosure(arg0, arg1, wasm_bindgen_3028394397962703___convert__closures_____invoke___web_sys_6bf3d1efbc760fe1___features__gen_ReadableStreamDefaultController__ReadableStreamDefaultController__js_sys_efb10e54109db7a3___Promise__true_);
    return ret;
}
export function __wbindgen_generic_0000000000000003(arg0, arg1) {
    // Cast intrinsic for `Closure(Closure { owned: true, function: Function { arguments: [], shim_idx: 9, ret: Unit, inner_ret: Some(Unit) }, mutable: true }) -> Externref`.
    const ret = makeMutClosure(arg0, arg1, wasm_bindgen_3028394397962703___convert__closures_____invoke_______true_);
    return ret;
}
export function __wbindgen_generic_0000000000000004(arg0) {
    // Cast intrinsic for `F64 -> Externref`.
    const ret = arg0;
    return ret;
}
export function __wbindgen_generic_0000000000000005(arg0, arg1) {
    // Cast intrinsic for `Ref(String) -> Externref`.
    const ret = getStringFromWasm0(arg0, arg1);
    return ret;
}
export function __wbindgen_init_externref_table() {
    const table = wasm.__wbindgen_externrefs;
    table.set(0, undefined);
    table.set(1024, undefined);
    table.set(1025, null);
    table.set(1026, true);
    table.set(1027, false);
}
function wasm_bindgen_3028394397962703___convert__closures_____invoke_______true_(arg0, arg1) {
    wasm.wasm_bindgen_3028394397962703___convert__closures_____invoke_______true_(arg0, arg1);
}

function wasm_bindgen_3028394397962703___convert__closures_____invoke___web_sys_6bf3d1efbc760fe1___features__gen_ReadableStreamDefaultController__ReadableStreamDefaultController__js_sys_efb10e54109db7a3___Promise__true_(arg0, arg1, arg2) {
    const ret = wasm.wasm_bindgen_3028394397962703___convert__closures_____invoke___web_sys_6bf3d1efbc760fe1___features__gen_ReadableStreamDefaultController__ReadableStreamDefaultController__js_sys_efb10e54109db7a3___Promise__true_(arg0, arg1, arg2);
    return ret;
}

function wasm_bindgen_3028394397962703___convert__closures_____invoke___wasm_bindgen_3028394397962703___JsValue__core_fb20295a61c38ce1___result__Result_____wasm_bindgen_3028394397962703___JsError___true_(arg0, arg1, arg2) {
    const ret = wasm.wasm_bindgen_3028394397962703___convert__closures_____invoke___wasm_bindgen_3028394397962703___JsValue__core_fb20295a61c38ce1___result__Result_____wasm_bindgen_3028394397962703___JsError___true_(arg0, arg1, arg2);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

function wasm_bindgen_3028394397962703___convert__closures_____invoke___js_sys_efb10e54109db7a3___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined___js_sys_efb10e54109db7a3___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined_______true_(arg0, arg1, arg2, arg3) {
    wasm.wasm_bindgen_3028394397962703___convert__closures_____invoke___js_sys_efb10e54109db7a3___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined___js_sys_efb10e54109db7a3___Function_fn_wasm_bindgen_3028394397962703___JsValue_____wasm_bindgen_3028394397962703___sys__Undefined_______true_(arg0, arg1, arg2, arg3);
}

function addToExternrefTable0(obj) {
    const idx = wasm.__externref_table_alloc();
    wasm.__wbindgen_externrefs.set(idx, obj);
    return idx;
}

const CLOSURE_DTORS = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(state => wasm.__wbindgen_destroy_closure(state.a, state.b));

function getArrayU8FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getUint8ArrayMemory0().subarray(ptr / 1, ptr / 1 + len);
}

let cachedDataViewMemory0 = null;
function getDataViewMemory0() {
    if (cachedDataViewMemory0 === null || cachedDataViewMemory0.buffer.detached === true || (cachedDataViewMemory0.buffer.detached === undefined && cachedDataViewMemory0.buffer !== wasm.memory.buffer)) {
        cachedDataViewMemory0 = new DataView(wasm.memory.buffer);
    }
    return cachedDataViewMemory0;
}

function getStringFromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return decodeText(getUint8ArrayMemory0().subarray(ptr, ptr + len));
}

let cachedUint8ArrayMemory0 = null;
function getUint8ArrayMemory0() {
    if (cachedUint8ArrayMemory0 === null || cachedUint8ArrayMemory0.byteLength === 0) {
        cachedUint8ArrayMemory0 = new Uint8Array(wasm.memory.buffer);
    }
    return cachedUint8ArrayMemory0;
}

function handleError(f, args) {
    try {
        return f.apply(this, args);
    } catch (e) {
        const idx = addToExternrefTable0(e);
        wasm.__wbindgen_exn_store(idx);
    }
}

function isLikeNone(x) {
    return x === undefined || x === null;
}

function makeMutClosure(arg0, arg1, f) {
    const state = { a: arg0, b: arg1, cnt: 1 };
    const real = (...args) => {

        // First up with a closure we increment the internal reference
        // count. This ensures that the Rust closure environment won't
        // be deallocated while we're invoking it.
        state.cnt++;
        const a = state.a;
        state.a = 0;
        try {
            return f(a, state.b, ...args);
        } finally {
            state.a = a;
            real._wbg_cb_unref();
        }
    };
    real._wbg_cb_unref = () => {
        if (--state.cnt === 0) {
            wasm.__wbindgen_destroy_closure(state.a, state.b);
            state.a = 0;
            CLOSURE_DTORS.unregister(state);
        }
    };
    CLOSURE_DTORS.register(real, state, state);
    return real;
}

function passStringToWasm0(arg, malloc, realloc) {
    if (realloc === undefined) {
        const buf = cachedTextEncoder.encode(arg);
        const ptr = malloc(buf.length, 1) >>> 0;
        getUint8ArrayMemory0().subarray(ptr, ptr + buf.length).set(buf);
        WASM_VECTOR_LEN = buf.length;
        return ptr;
    }

    let len = arg.length;
    let ptr = malloc(len, 1) >>> 0;

    const mem = getUint8ArrayMemory0();

    let offset = 0;

    for (; offset < len; offset++) {
        const code = arg.charCodeAt(offset);
        if (code > 0x7F) break;
        mem[ptr + offset] = code;
    }
    if (offset !== len) {
        if (offset !== 0) {
            arg = arg.slice(offset);
        }
        ptr = realloc(ptr, len, len = offset + arg.length * 3, 1) >>> 0;
        const view = getUint8ArrayMemory0().subarray(ptr + offset, ptr + len);
        const ret = cachedTextEncoder.encodeInto(arg, view);

        offset += ret.written;
        ptr = realloc(ptr, len, offset, 1) >>> 0;
    }

    WASM_VECTOR_LEN = offset;
    return ptr;
}

function takeFromExternrefTable0(idx) {
    const value = wasm.__wbindgen_externrefs.get(idx);
    wasm.__externref_table_dealloc(idx);
    return value;
}

let cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
cachedTextDecoder.decode();
const MAX_SAFARI_DECODE_BYTES = 2146435072;
let numBytesDecoded = 0;
function decodeText(bytes) {
    numBytesDecoded += bytes.length;
    if (numBytesDecoded >= MAX_SAFARI_DECODE_BYTES) {
        cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
        cachedTextDecoder.decode();
        numBytesDecoded = bytes.length;
    }
    return cachedTextDecoder.decode(bytes);
}

const cachedTextEncoder = new TextEncoder();

if (!('encodeInto' in cachedTextEncoder)) {
    cachedTextEncoder.encodeInto = function (arg, view) {
        const buf = cachedTextEncoder.encode(arg);
        view.set(buf);
        return {
            read: arg.length,
            written: buf.length
        };
    };
}

let WASM_VECTOR_LEN = 0;


let wasm;
export function __wbg_set_wasm(val) {
    wasm = val;
}
