import { Command } from "commander";
import { outgoing } from "../../index.ts";
import { refuseUncaptured } from "../first-stream.ts";
import { nonEmpty } from "../option-values.ts";
import type { Shell } from "../shell.ts";
import { readAll } from "../standard-input.ts";
import { UsageError } from "../usage-error.ts";
import { parseJson } from "../parse-json.ts";
import { publishLines } from "../publish-lines.ts";

interface PublishFlags {
  readonly key?: string;
  readonly type?: string;
  readonly id?: string;
  readonly lines?: boolean;
  readonly create?: boolean;
}

const examples = `
On a bus that has no streams yet it makes the first one, \`events\`, which captures every topic. A bus that has some stays as
it is: a topic that none of them captures is refused, unless --create asks for that stream.

Example:
  $ omnibus publish orders.placed '{"orderId":"o-1","total":12}' --key o-1
  $ omnibus publish orders.placed < order.json
  $ omnibus publish orders.placed --lines < orders.ndjson`;

export function publish(shell: Shell): Command {
  const command = new Command("publish")
    .description("Publishes one event, or one for each line of standard input.")
    .argument("<topic>", "where to, for example orders.eu.placed")
    .argument("[json]", "the data; without it (or with -) standard input is read")
    .option("-k, --key <key>", "what order is kept by", nonEmpty)
    .option("-t, --type <type>", "the event's type; else the topic's last token", nonEmpty)
    .option("--id <id>", "the event's id, so that trying again is harmless; else a new one", nonEmpty)
    .option("--lines", "each line of standard input is the data of one event")
    .option("--create", "make the stream `events` when no stream captures the topic")
    .addHelpText("after", examples);
  return command.action(
    async (topic: string, json: string | undefined, { lines, create = false, ...options }: PublishFlags) => {
      outgoing(topic, undefined); // throws at a topic that is none
      if (lines === true) {
        if (json !== undefined && json !== "-")
          throw new UsageError("--lines reads standard input: leave the data out.");
        if (options.id !== undefined) throw new UsageError("--id names one event: leave --lines out.");
        return publishLines(shell, command, topic, create, options);
      }
      const text = json === undefined || json === "-" ? await readAll(shell.terminal) : json;
      const data = parseJson(text, "the data");
      return shell.session(command, "create", async ({ bus, output }) => {
        await refuseUncaptured(bus, topic, create);
        const receipt = await bus.publishTopic(topic, data, options);
        const place = receipt.stream === undefined ? receipt.driver : `stream ${receipt.stream}`;
        await (output.human
          ? output.line(`published ${receipt.id} to ${place}${receipt.duplicate ? ", which had it already" : ""}`)
          : output.json(receipt));
      });
    },
  );
}
