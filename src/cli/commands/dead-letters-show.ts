import { Command } from "commander";
import type { DeadLetter } from "../../index.ts";
import { noDeadLetter } from "../dead-letter-filters.ts";
import { deadLetterJson } from "../dead-letter-json.ts";
import { count, when } from "../human.ts";
import { jsonText, printable, printableLines } from "../printable.ts";
import type { Shell } from "../shell.ts";
import { fields } from "../table.ts";
import { UsageError } from "../usage-error.ts";

function lines(letter: DeadLetter): string[] {
  const { event, reason } = letter;
  return fields([
    ["id", printable(letter.id)],
    ["group", printable(letter.group)],
    ["topic", printable(letter.topic)],
    [
      "event",
      event === undefined
        ? "could not be decoded"
        : printable(`${event.id}, type ${event.type}, version ${event.version}`),
    ],
    ["key", printable(event?.key ?? "-")],
    ["handlers", printable(letter.handlers.join(" ") || "-")],
    ["attempts", count(letter.attempts)],
    ["first failed", when(letter.firstFailedAt)],
    ["failed", when(letter.failedAt)],
    ["reason", printable(`${reason.code} ${reason.name}: ${reason.message}`)],
    ["stack", printableLines(reason.stack ?? "-")],
    ["history", letter.history.map(({ at, error }) => `${when(at)} ${printable(error)}`).join("\n") || "-"],
    event === undefined
      ? ["raw", printable(Buffer.from(letter.raw).toString("utf8"))]
      : ["data", printableLines(jsonText(event.data, 2))],
  ]);
}

export function deadLettersShow(shell: Shell): Command {
  const command = new Command("show")
    .description("Shows one dead letter: its event, why it failed, what was tried.")
    .argument("<id>", "as the list shows it")
    .addHelpText("after", "\nExample:\n  $ omnibus dead-letters show shipping/0198f0c2-7d1e-7c3a-9d6b-3c1f4f5b6a7d");
  return command.action((id: string) => {
    if (id.trim() === "") throw new UsageError("the id is empty.");
    return shell.session(command, "verify", async ({ bus, output }) => {
      const letter = await bus.deadLetters.get(id);
      if (letter === undefined) return shell.failed(noDeadLetter(id));
      await (output.human ? output.lines(lines(letter)) : output.json(deadLetterJson(letter, true)));
    });
  });
}
