import { Command } from "commander";
import { type Health, isBusError } from "../../index.ts";
import { duration } from "../human.ts";
import { printable } from "../printable.ts";
import type { Shell } from "../shell.ts";
import { fields } from "../table.ts";

const examples = `
Exit code 0 when the bus is up, 1 when it is not, 2 when the url or an option is wrong.

Example:
  $ omnibus health --url sqlite:./bus.db --timeout 2000`;

function lines(health: Health): string[] {
  return fields([
    ["status", health.status],
    ["driver", health.driver ?? "-"],
    ["round trip", duration(health.roundTripMs)],
    ...Object.entries(health.broker).map(([name, value]) => [printable(name), printable(String(value))] as const),
    ...health.reasons.map((reason) => ["reason", printable(reason)] as const),
  ]);
}

export function health(shell: Shell): Command {
  const command = new Command("health")
    .description("Asks the broker whether messages could flow now.")
    .addHelpText("after", examples);
  return command.action(async () => {
    const output = shell.output(command);
    try {
      await shell.session(
        command,
        "verify",
        async ({ bus }) => {
          const found = await bus.health();
          if (found.status !== "up") shell.exitCode = 1;
          await (output.human ? output.lines(lines(found)) : output.json(found));
        },
        output,
      );
    } catch (error) {
      // Who reads JSON gets an answer in any case; the reason goes to standard error as well. If nobody reads any more (the pipe is
      // closed), the reason is still what is thrown, and not the pipe's.
      if (!output.human && isBusError(error)) await output.json({ status: "down", code: error.code }).catch(() => {});
      throw error;
    }
  });
}
