import { Command } from "commander";
import type { Shell } from "../shell.ts";
import { deadLettersDiscard } from "./dead-letters-discard.ts";
import { deadLettersList } from "./dead-letters-list.ts";
import { deadLettersReplay } from "./dead-letters-replay.ts";
import { deadLettersShow } from "./dead-letters-show.ts";

const examples = `
Example:
  $ omnibus dead-letters list --group shipping
  $ omnibus dead-letters replay --group shipping --error BUS_TIMEOUT`;

export function deadLetters(shell: Shell): Command {
  const command = new Command("dead-letters")
    .description("Messages that a group gave up on: lists, shows, replays or discards them.")
    .addHelpText("after", examples);
  for (const make of [deadLettersList, deadLettersShow, deadLettersReplay, deadLettersDiscard])
    command.addCommand(make(shell));
  return command;
}
