// Makes Deno look like Supabase's edge runtime, then loads the function named by the first argument.

const waiting = new Set<Promise<unknown>>();

Object.assign(globalThis, {
  EdgeRuntime: {
    /** Keeps the promise, so that its work outlives the answer. Takes real promises only, as the platform. */
    waitUntil(promise: Promise<unknown>) {
      if (!(promise instanceof Promise)) throw new TypeError("EdgeRuntime.waitUntil: not a promise");
      const kept = promise
        .catch((error) => console.error("EdgeRuntime.waitUntil: rejected with", error))
        .finally(() => waiting.delete(kept));
      waiting.add(kept);
    },
  },
});

// Of its forms the platform knows serve(handler), serve(options, handler) and serve({ handler }); where it
// listens is not the function's business.
const serve = Deno.serve;
Deno.serve = ((first: Deno.ServeHandler | Deno.ServeInit, second?: Deno.ServeHandler) => {
  const handler = typeof first === "function" ? first : second ?? first.handler;
  return serve({ hostname: "127.0.0.1", port: 0 }, handler);
}) as typeof Deno.serve;

await import(Deno.args[0]);
