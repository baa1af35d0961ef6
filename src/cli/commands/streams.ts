import { Command } from "commander";
import type { StreamInfo } from "../../index.ts";
import { bytes, count, when } from "../human.ts";
import type { Shell } from "../shell.ts";
import type { Column } from "../table.ts";

const columns: readonly Column<StreamInfo>[] = [
  { title: "stream", of: (stream) => stream.name },
  { title: "topics", of: (stream) => stream.topics.join(" ") },
  { title: "partitions", of: (stream) => count(stream.partitions), right: true },
  { title: "messages", of: (stream) => count(stream.messages), right: true },
  { title: "size", of: (stream) => bytes(stream.bytes), right: true },
  { title: "first", of: (stream) => when(stream.first) },
  { title: "last", of: (stream) => when(stream.last) },
  { title: "groups", of: (stream) => stream.groups.join(" ") },
];

export function streams(shell: Shell): Command {
  const command = new Command("streams")
    .description("Lists the durable logs, what they hold and who reads them.")
    .addHelpText("after", "\nExample:\n  $ omnibus streams --url sqlite:./bus.db");
  return command.action(() =>
    shell.session(command, "verify", async ({ bus, output }) => {
      await output.rows(await bus.streams.list(), columns, (stream) => stream, "no streams");
    }),
  );
}
