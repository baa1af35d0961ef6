import type { Bus, DeadLetter } from "../../src/index.ts";
import { rejectedKind } from "./groups.ts";
import type { Progress } from "./progress.ts";
import { step, whole } from "./report.ts";
import type { Screen } from "./screen.ts";

const group = "indexer";
const settleMs = 10_000;

async function listAll(bus: Bus): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = [];
  let cursor: string | undefined;
  do {
    const page = await bus.deadLetters.list({ group, cursor, limit: 500 });
    letters.push(...page.items);
    ({ cursor } = page);
  } while (cursor !== undefined);
  return letters;
}

export interface ReplaySteps {
  readonly until: (done: () => boolean | Promise<boolean>) => Promise<boolean>;
  readonly fix: () => Promise<void>;
}

/** Lists what the indexer gave up on, has it fixed, replays. True when the dead letters are those and are gone now. */
export async function replayDeadLetters(
  bus: Bus,
  progress: Progress,
  screen: Screen,
  { until, fix }: ReplaySteps,
): Promise<boolean> {
  const rejected = new Set(progress.entries.filter(({ outcome }) => outcome === "rejected").map(({ id }) => id));
  const deadline = performance.now() + settleMs;
  // The handler's journal is a moment ahead of the broker, which stores the letter after the handler has thrown.
  const late = (): boolean => performance.now() > deadline;
  await until(async () => (await bus.deadLetters.count({ group })) === rejected.size || late());

  const letters = await listAll(bus);
  const ids = new Set(letters.map(({ event }) => event?.id));
  const example = letters[0];
  const same = ids.size === rejected.size && [...rejected].every((id) => ids.has(id));
  const why =
    example === undefined ? "" : `, such as ${example.topic} of ${example.event?.key}: "${example.reason.message}"`;
  step(screen, "letters", `${whole(letters.length)} dead letters of the ${group} (${rejectedKind})${why}`);
  if (!same)
    step(screen, "", screen.style("red", `they are not the ${whole(rejected.size)} events that were rejected`));

  await fix();
  const { replayed, failed } = await bus.deadLetters.replay({ group });
  const handled = await until(() => [...rejected].every((id) => progress.handled(group, id)));
  const left = await bus.deadLetters.count({ group });
  step(
    screen,
    "replayed",
    `${whole(replayed)} after the fix${failed > 0 ? `, ${whole(failed)} failed` : ""}; ${whole(left)} dead letters are left`,
  );
  return same && handled && failed === 0 && left === 0;
}
