/** One side of a scenario in its own process: opens it, then runs a round whenever it is asked to. */
import type { Open, Settings } from "./side.ts";

const [module = "", settings = ""] = process.argv.slice(2);
const { open } = (await import(module)) as { readonly open: Open };
const side = await open(JSON.parse(settings) as Settings);
process.on("message", () => {
  side.round().then(
    (sample) => process.send?.({ sample }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack : String(error) }),
  );
});
process.on("disconnect", () => process.exit());
process.send?.({ ready: true });
