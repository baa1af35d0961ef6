import type { Command } from "commander";
import { isBusError, type Outgoing, outgoing } from "../index.ts";
import { refuseUncaptured } from "./first-stream.ts";
import { plural } from "./human.ts";
import { parseJson } from "./parse-json.ts";
import { printable } from "./printable.ts";
import { redact } from "./redact.ts";
import type { Shell } from "./shell.ts";
import { readLines } from "./standard-input.ts";

/** One event for each line that is not blank. A line that is no JSON ends it; what was read before is published. */
export function publishLines(
  shell: Shell,
  command: Command,
  topic: string,
  create: boolean,
  options: { readonly key?: string; readonly type?: string },
): Promise<void> {
  let broken: unknown;
  async function* items(): AsyncGenerator<Outgoing> {
    let line = 0;
    try {
      for await (const text of readLines(shell.terminal)) {
        line += 1;
        if (text.trim() !== "") yield outgoing(topic, parseJson(text, `line ${line}`), options);
      }
    } catch (error) {
      broken = error; // said after what became of the lines before it
    }
  }
  return shell.session(command, "create", async ({ bus, output }) => {
    await refuseUncaptured(bus, topic, create);
    const outcomes = await bus.publishMany(items());
    if (broken !== undefined && outcomes.length === 0) throw broken;
    const failed = outcomes.filter((outcome) => !outcome.ok);
    for (const { id, error } of failed) {
      if (isBusError(error) && error.code === "BUS_INVALID_OPTION") shell.exitCode = 2; // such as the key: that of all
      else if (shell.exitCode === 0) shell.exitCode = 1;
      const code = isBusError(error) ? `${error.code}: ` : "";
      shell.terminal.stderr.write(`omnibus: ${printable(redact(`${id}: ${code}${error.message}`))}\n`);
    }
    try {
      if (output.human) await output.line(`published ${plural(outcomes.length - failed.length, "event")} to ${topic}`);
      else for (const outcome of outcomes) if (outcome.ok) await output.json(outcome.receipt);
    } catch (error) {
      throw broken ?? error;
    }
    if (broken !== undefined) throw broken;
  });
}
