// A function to try the stack with.

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void };

Deno.serve(async (request) => {
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/process-jobs/env":
      return Response.json(Deno.env.toObject());
    case "/process-jobs/hang":
      console.log("hanging");
      return new Promise(() => {});
    case "/process-jobs/later":
      EdgeRuntime.waitUntil(Promise.reject(new Error("too late")));
      return new Response("answered");
    case "/process-jobs/write":
      return new Response(await Deno.writeTextFile("/tmp/x", "").then(() => "written", (error) => error.name));
    default:
      return Response.json({
        method: request.method,
        path: url.pathname + url.search,
        key: request.headers.get("apikey"),
        body: await request.text(),
      });
  }
});
