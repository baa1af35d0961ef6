import { once } from "node:events";
import { Command } from "commander";
import { eventJson, eventLine } from "../event-line.ts";
import { nonEmpty, start, wholeNumber } from "../option-values.ts";
import type { Shell } from "../shell.ts";
import { UsageError } from "../usage-error.ts";

interface TailFlags {
  readonly group?: string;
  readonly from?: "oldest" | "newest" | Date;
  readonly count?: number;
}

const examples = `
Without --group it shows what is published from now on, and takes nothing from anybody. With --group it joins that
group, which stays at the broker: what it shows counts as handled, and other members don't get it.
It ends by Ctrl-C (exit code 130), or after --count events (0).

Example:
  $ omnibus tail 'orders.*.placed'
  $ omnibus tail '>' --json | jq .data
  $ omnibus tail 'orders.>' --group look --from oldest --count 10`;

export function tail(shell: Shell): Command {
  const command = new Command("tail")
    .description("Shows events as they come.")
    .argument("<pattern>", "topics: * stands for one token, > for one or more at the end")
    .option("-g, --group <group>", "join this group", nonEmpty)
    .option("--from <start>", "where a group that is new starts: oldest, newest or a date", start)
    .option("-n, --count <n>", "end after this many", wholeNumber(1))
    .addHelpText("after", examples);
  return command.action(async (pattern: string, { group, from, count }: TailFlags) => {
    if (from !== undefined && group === undefined) {
      throw new UsageError("--from says where a group starts: give --group, too.");
    }
    const manage = group === undefined ? "verify" : "create"; // looking makes nothing, joining makes the group
    await shell.session(command, manage, async ({ bus, output, interrupted }) => {
      const enough = new AbortController();
      const ended = AbortSignal.any([enough.signal, interrupted, output.closed]);
      let shown = 0;
      const running = bus.subscribePattern(
        pattern,
        async (event) => {
          await (output.human ? output.line(eventLine(event)) : output.json(eventJson(event)));
          shown += 1;
          if (shown !== count) return;
          await (await running).pause(); // the next one is for somebody else
          enough.abort();
        },
        { group: group ?? false, name: "omnibus-cli", concurrency: 1, from },
      );
      await running;
      if (output.human) shell.terminal.stderr.write("Waiting for events; Ctrl-C ends.\n");
      if (!ended.aborted) await once(ended, "abort");
    });
  });
}
