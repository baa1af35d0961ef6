import { once } from "node:events";
import { Command } from "commander";
import type { Bus } from "../../index.ts";
import { covers } from "../covers.ts";
import { eventJson, eventLine } from "../event-line.ts";
import { nonEmpty, start, wholeNumber } from "../option-values.ts";
import type { Shell } from "../shell.ts";
import { UsageError } from "../usage-error.ts";

interface TailFlags {
  readonly group?: string;
  readonly from?: "oldest" | "newest" | Date;
  readonly count?: number;
  readonly widen?: boolean;
}

const examples = `
Without --group it shows what is published from now on, and takes nothing from anybody. With --group it joins that
group as one more member, which has consequences: the events it takes count as handled and are gone for the other
members. A group that is new is made, and stays at the broker. One that exists and doesn't read the pattern yet would
read it from then on, for all of its members and after the end of this command, too: that needs --widen.
It ends by Ctrl-C (exit code 130), or after --count events (0).

Example:
  $ omnibus tail 'orders.*.placed'
  $ omnibus tail '>' --json | jq .data
  $ omnibus tail 'orders.>' --group look --from oldest --count 10`;

/** Subscribing only ever adds patterns to a group, for good: looking must not do that by mistake. */
async function refuseWidening(bus: Bus, group: string, pattern: string): Promise<void> {
  const found = (await bus.groups.list()).find((each) => each.group === group);
  if (found === undefined || found.patterns.some((stored) => covers(stored, pattern))) return;
  throw new UsageError(
    `the group ${group} reads ${found.patterns.join(" ")}; joining it with ${pattern} would make all of its members read that for good: ask for a pattern within its own, leave --group out to look only, or say --widen.`,
  );
}

export function tail(shell: Shell): Command {
  const command = new Command("tail")
    .description("Shows events as they come.")
    .argument("<pattern>", "topics: * stands for one token, > for one or more at the end")
    .option("-g, --group <group>", "join this group", nonEmpty)
    .option("--widen", "let the group read the pattern for good, though it didn't so far")
    .option("--from <start>", "where a group that is new starts: oldest, newest or a date", start)
    .option("-n, --count <n>", "end after this many", wholeNumber(1))
    .addHelpText("after", examples);
  return command.action(async (pattern: string, { group, from, count, widen }: TailFlags) => {
    if (from !== undefined && group === undefined) {
      throw new UsageError("--from says where a group starts: give --group, too.");
    }
    if (widen === true && group === undefined) {
      throw new UsageError("--widen says that a group may read more: give --group, too.");
    }
    const manage = group === undefined ? "verify" : "create"; // looking makes nothing, joining makes the group
    await shell.session(command, manage, async ({ bus, output, interrupted }) => {
      if (group !== undefined && widen !== true) await refuseWidening(bus, group, pattern);
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
