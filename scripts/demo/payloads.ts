import { createRequire } from "node:module";
import type { InputOf } from "../../src/index.ts";
import { seededRandom } from "./random.ts";
import type { WebhookReceived } from "./webhook.ts";

type Payload = Readonly<Record<string, unknown>>;
interface Examples {
  readonly name: string;
  readonly examples: readonly Payload[];
}

export interface PayloadOptions {
  readonly events: number;
  readonly repositories: number;
  readonly seed: number;
}

const kinds = createRequire(import.meta.url)("@octokit/webhooks-examples") as readonly Examples[];
const real = kinds.flatMap(({ name, examples }) => examples.map((payload) => ({ event: name, payload })));

function repositoryNumber(at: number): { readonly id: number; readonly name: string; readonly full_name: string } {
  const name = `service-${String(at + 1).padStart(3, "0")}`;
  return { id: 1_000_000 + at, name, full_name: `octo-org/${name}` };
}

/** Real payloads in random order, rewritten onto the repositories: few are busy, each gets something. */
export function* webhooks({ events, repositories, seed }: PayloadOptions): Generator<InputOf<typeof WebhookReceived>> {
  const random = seededRandom(seed);
  for (let number = 1; number <= events; number++) {
    const { event, payload } = real[Math.floor(random() * real.length)]!;
    const at = number <= repositories ? number - 1 : Math.floor(random() ** 2 * repositories);
    const repository = { ...(payload["repository"] as object | undefined), ...repositoryNumber(at) };
    // What comes in is of no known type; the schema looks at it when it is published.
    yield { number, event, payload: { ...payload, repository } } as InputOf<typeof WebhookReceived>;
  }
}
