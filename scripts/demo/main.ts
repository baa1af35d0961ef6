/** `npm run demo`: GitHub's webhooks through a durable bus, and the proof that nothing was lost. */
import { isBusError } from "../../src/index.ts";
import { BrokerUnavailable } from "../brokers/find-broker.ts";
import { startOwn } from "../brokers/start-broker.ts";
import { runDemo } from "./demo.ts";
import { hint } from "./hint.ts";
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
    const screen = new Screen();
    // It ends with this process, whatever becomes of it.
    const started = options.broker && (await startOwn(options.broker, (line) => screen.line(line)));
    const proven = await runDemo(started === undefined ? options : { ...options, url: started.url }, screen);
    await started?.[Symbol.asyncDispose]();
    if (!proven) process.exitCode = 1;
  } catch (error) {
    console.error(`demo: ${sentence(error, options.url)}`);
    process.exitCode = 1;
  }
}

function sentence(error: unknown, url: string | undefined): string {
  if (error instanceof BrokerUnavailable) return error.message;
  if (!isBusError(error)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const advice = hint(error, url);
  // words of OpenSSL end their line
  return `${error.code}: ${error.message.trim()}${advice === undefined ? "" : `\n${advice}`}`;
}
