import { Command } from "commander";
import { chosen, type FilterFlags, noDeadLetter, withFilters } from "../dead-letter-filters.ts";
import { plural } from "../human.ts";
import { positiveNumber } from "../option-values.ts";
import { parseJson } from "../parse-json.ts";
import type { Shell } from "../shell.ts";
import { UsageError } from "../usage-error.ts";

interface ReplayFlags extends FilterFlags {
  readonly all?: boolean;
  readonly data?: string;
  readonly rate?: number;
}

const examples = `
Doing it twice is harmless. Ctrl-C ends it between two letters; the rest stays and can be replayed later.

Example:
  $ omnibus dead-letters replay shipping/0198f0c2-7d1e-7c3a-9d6b-3c1f4f5b6a7d --data '{"orderId":"o-1","total":12}'
  $ omnibus dead-letters replay --group shipping --error BUS_TIMEOUT --rate 50`;

export function deadLettersReplay(shell: Shell): Command {
  const command = withFilters(new Command("replay"))
    .description("Sends dead letters to the group that gave them up, to the handlers that failed.")
    .argument("[id]", "one of them")
    .option("--all", "every one")
    .option("--data <json>", "instead of the event's data; with an id")
    .option("--rate <n>", "at most this many a second", positiveNumber)
    .addHelpText("after", examples);
  return command.action(async (id: string | undefined, flags: ReplayFlags) => {
    const which = chosen(id, flags);
    if (flags.data !== undefined && id === undefined)
      throw new UsageError("--data is for one dead letter: give its id.");
    const data = flags.data === undefined ? {} : { data: parseJson(flags.data, "--data") };
    await shell.session(command, "verify", async ({ bus, output, interrupted }) => {
      const result = await bus.deadLetters.replay(which, { ...data, ratePerSecond: flags.rate, signal: interrupted });
      if (id !== undefined && result.replayed + result.failed === 0) return shell.failed(noDeadLetter(id));
      if (result.failed > 0) shell.exitCode = 1;
      const failed = result.failed === 0 ? "" : `, ${plural(result.failed, "failed", "failed")}`;
      await (output.human
        ? output.line(`replayed ${plural(result.replayed, "dead letter")}${failed}`)
        : output.json(result));
    });
  });
}
