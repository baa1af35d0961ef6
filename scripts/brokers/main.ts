/** `npm run brokers`: the real brokers that tests, benches and examples run on. */
import { type CommandLine, parseCommandLine, usage } from "./command-line.ts";
import type { Wanted } from "./find-broker.ts";
import { type KeptUrl, keptLabels, startKept, statusLines, stopKept, withKept } from "./kept-brokers.ts";

const say = (line: string): void => console.error(line);

function fail(error: unknown): void {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

/** All at once: one may have to be installed while another is there. */
async function start(wanted: readonly Wanted[], env: boolean): Promise<void> {
  const print = (label: string, { url, shown, about, variable }: KeptUrl): void => {
    if (!env) console.log(`${label}  ${shown}  (${about})`);
    else if (variable !== undefined) console.log(`${variable}=${url}`);
  };
  await Promise.all(
    wanted.map(async (each) => {
      try {
        print(each.label, await startKept(each, say));
      } catch (error) {
        fail(error);
      }
    }),
  );
}

async function run({ command, wanted, env }: CommandLine): Promise<void> {
  if (command === "start") return start(wanted, env);
  if (command === "status") {
    const lines = await statusLines();
    console.log(lines.length === 0 ? "none runs" : lines.join("\n"));
    return;
  }
  if (command === "stop") {
    const stopped = await stopKept(wanted.length === 0 ? keptLabels() : wanted.map(({ label }) => label));
    console.log(stopped.length === 0 ? "none was kept" : `stopped ${stopped.join(", ")}`);
    return;
  }
  for (const each of wanted) {
    await withKept(each, async (broker) => {
      if (command === "logs") {
        console.log((await broker.logs()).trimEnd());
        return;
      }
      await broker[command]();
      console.log(`${broker.label}  ${broker.url}  ${await broker.state()}`);
    });
  }
}

try {
  const line = parseCommandLine(process.argv.slice(2));
  if (line === undefined) console.log(usage);
  else await run(line).catch(fail);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  process.exitCode = 2;
}
