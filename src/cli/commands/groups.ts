import { Command } from "commander";
import type { GroupInfo } from "../../index.ts";
import { count, duration, when } from "../human.ts";
import type { Shell } from "../shell.ts";
import { type Column, table } from "../table.ts";

const columns: readonly Column<GroupInfo>[] = [
  { title: "group", of: (group) => group.group },
  { title: "patterns", of: (group) => group.patterns.join(" ") },
  { title: "order", of: (group) => group.order },
  { title: "members", of: (group) => count(group.members.length), right: true },
  { title: "waiting", of: (group) => `${group.waitingExact ? "" : "≤ "}${count(group.waiting)}`, right: true },
  { title: "in flight", of: (group) => count(group.inFlight), right: true },
  { title: "scheduled", of: (group) => count(group.scheduled), right: true },
  { title: "dead letters", of: (group) => count(group.deadLetters), right: true },
  { title: "oldest waits", of: (group) => duration(group.oldestWaitingMs), right: true },
];

const members: readonly Column<GroupInfo["members"][number]>[] = [
  { title: "member", of: (member) => member.name },
  { title: "host", of: (member) => member.host },
  { title: "pid", of: (member) => String(member.pid), right: true },
  { title: "since", of: (member) => when(member.since) },
  { title: "last seen", of: (member) => when(member.lastSeen) },
  { title: "partitions", of: (member) => member.partitions?.join(" ") ?? "" },
];

export function groups(shell: Shell): Command {
  const command = new Command("groups")
    .description("Lists the groups: how far they are, who works for them.")
    .argument("[group]", "one of them, with its members")
    .addHelpText("after", "\nExample:\n  $ omnibus groups --url sqlite:./bus.db\n  $ omnibus groups shipping");
  return command.action((name: string | undefined) =>
    shell.session(command, "verify", async ({ bus, output }) => {
      const found = name === undefined ? await bus.groups.list() : [await bus.groups.info(name)];
      await output.rows(found, columns, (group) => group, "no groups");
      if (name === undefined || !output.human) return;
      const here = found[0]?.members ?? [];
      await output.lines(["", ...(here.length === 0 ? ["no members now"] : table(members, here))]);
    }),
  );
}
