import { Command } from "commander";
import type { DeadLetter } from "../../index.ts";
import { type FilterFlags, queryOf, withFilters } from "../dead-letter-filters.ts";
import { deadLetterJson } from "../dead-letter-json.ts";
import { count, when } from "../human.ts";
import { nonEmpty } from "../option-values.ts";
import type { Shell } from "../shell.ts";
import type { Column } from "../table.ts";

const longest = 80;

function cut(text: string): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

const columns: readonly Column<DeadLetter>[] = [
  { title: "id", of: (letter) => letter.id },
  { title: "group", of: (letter) => letter.group },
  { title: "topic", of: (letter) => letter.topic },
  { title: "attempts", of: (letter) => count(letter.attempts), right: true },
  { title: "failed", of: (letter) => when(letter.failedAt) },
  { title: "reason", of: (letter) => cut(`${letter.reason.code} ${letter.reason.message}`) },
];

const examples = `
Example:
  $ omnibus dead-letters list --group shipping --after 2030-01-31
  $ omnibus dead-letters list --json | jq -r .id`;

export function deadLettersList(shell: Shell): Command {
  const command = withFilters(new Command("list"))
    .description("Lists dead letters, oldest first, 100 unless --limit says otherwise.")
    .option("--cursor <cursor>", "go on after the page that ended with it", nonEmpty)
    .addHelpText("after", examples);
  return command.action((flags: FilterFlags & { readonly cursor?: string }) =>
    shell.session(command, "verify", async ({ bus, output }) => {
      const { items, cursor } = await bus.deadLetters.list({ ...queryOf(flags), cursor: flags.cursor });
      await output.rows(items, columns, (letter) => deadLetterJson(letter), "no dead letters");
      if (cursor !== undefined) shell.terminal.stderr.write(`There are more: --cursor ${cursor}\n`);
    }),
  );
}
