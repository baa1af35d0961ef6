import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { Instance } from "../../scripts/brokers/instances.ts";

const run = promisify(execFile);

/** Whether the server was started here from its own package, so that `rabbitmqctl` finds it. */
export const isLocal = (broker: Broker | undefined): boolean =>
  broker?.certificates !== undefined && !broker.origin.includes(":");

/** What an operator does at a server of our own. */
export async function rabbitCommand(broker: Broker, ...words: readonly string[]): Promise<string> {
  const folder = dirname(dirname(broker.certificates!.ca));
  const record = JSON.parse(readFileSync(join(folder, "record.json"), "utf8")) as Instance;
  const [, , names = 0] = record.ports[0] ?? [];
  const { stdout } = await run(
    join(dirname(broker.origin), "rabbitmqctl"),
    ["-n", `${basename(folder)}-1@localhost`, ...words],
    {
      cwd: join(folder, "1"),
      env: {
        PATH: process.env["PATH"],
        HOME: join(folder, "1"),
        LANG: "C.UTF-8",
        ERL_EPMD_PORT: String(names),
        ERL_EPMD_ADDRESS: "127.0.0.1",
        RABBITMQ_CONF_ENV_FILE: "/dev/null",
      },
      timeout: 30_000,
    },
  );
  return stdout;
}
