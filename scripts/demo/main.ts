/** `npm run demo`: GitHub's webhooks through a durable bus, and the proof that nothing was lost. */
import { isBusError } from "../../src/index.ts";
import { runDemo } from "./demo.ts";
import { type DemoOptions, demoOptions, usage } from "./options.ts";
import { Screen } from "./screen.ts";

let options: DemoOptions | undefined;
try {
  options = demoOptions(process.argv.slice(2));
  if (options === undefined) console.log(usage);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  process.exitCode = 2;
}
if (options !== undefined) {
  try {
    const proven = await runDemo(options, new Screen());
    if (!proven) process.exitCode = 1;
  } catch (error) {
    console.error(isBusError(error) ? `demo: ${error.code}: ${error.message}` : error);
    process.exitCode = 1;
  }
}
