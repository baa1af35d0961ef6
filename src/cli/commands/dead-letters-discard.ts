import { Command } from "commander";
import { chosen, type FilterFlags, noDeadLetter, withFilters } from "../dead-letter-filters.ts";
import { plural } from "../human.ts";
import type { Shell } from "../shell.ts";
import { UsageError } from "../usage-error.ts";

interface DiscardFlags extends FilterFlags {
  readonly all?: boolean;
  readonly yes?: boolean;
}

const examples = `
Example:
  $ omnibus dead-letters discard shipping/0198f0c2-7d1e-7c3a-9d6b-3c1f4f5b6a7d
  $ omnibus dead-letters discard --group shipping --before 2030-01-01 --yes`;

export function deadLettersDiscard(shell: Shell): Command {
  const command = withFilters(new Command("discard"))
    .description("Drops dead letters for good.")
    .argument("[id]", "one of them")
    .option("--all", "every one")
    .option("-y, --yes", "needed unless an id is given")
    .addHelpText("after", examples);
  return command.action(async (id: string | undefined, flags: DiscardFlags) => {
    const which = chosen(id, flags);
    if (typeof which !== "string" && flags.yes !== true) {
      throw new UsageError(
        "this drops dead letters for good, look at them with `dead-letters list` and then say --yes.",
      );
    }
    await shell.session(command, "verify", async ({ bus, output }) => {
      const discarded = await bus.deadLetters.discard(which);
      if (id !== undefined && discarded === 0) return shell.failed(noDeadLetter(id));
      await (output.human ? output.line(`discarded ${plural(discarded, "dead letter")}`) : output.json({ discarded }));
    });
  });
}
