import type { BrokerKind } from "./broker-kind.ts";
import type { Wanted } from "./find-broker.ts";
import { kafka } from "./kafka.ts";
import { nats } from "./nats.ts";
import { postgres } from "./postgres.ts";
import { rabbitmq } from "./rabbitmq.ts";
import { redis } from "./redis.ts";

/** One line for each broker. */
const kinds = { nats, redis, postgres, rabbitmq, kafka };

export type BrokerName = keyof typeof kinds;

type Kinds = typeof kinds;
export type VariantOf<Name extends BrokerName> = Kinds[Name]["variants"][number];
export type ReleaseOf<Name extends BrokerName> = keyof Kinds[Name]["releases"] & string;

export const brokerKinds: Readonly<Record<string, BrokerKind>> = kinds;

/** Throws a TypeError that names what there is. */
export function wantedBroker(name: string, release?: string, variant?: string): Wanted {
  const kind = Object.hasOwn(brokerKinds, name) ? brokerKinds[name] : undefined;
  if (kind === undefined) throw new TypeError(`there is no broker ${name}: ${Object.keys(brokerKinds).join(", ")}`);
  const chosen = release ?? "newest";
  const releases = Object.keys(kind.releases);
  if (!releases.includes(chosen)) throw new TypeError(`there is no ${name}@${chosen}: ${releases.join(", ")}`);
  const special = variant ?? kind.variants[0] ?? "";
  if (!kind.variants.includes(special)) {
    throw new TypeError(`there is no ${name}/${special}: ${kind.variants.join(", ")}`);
  }
  const label = [
    name,
    ...(chosen === "newest" ? [] : [`@${chosen}`]),
    ...(special === kind.variants[0] ? [] : [`/${special}`]),
  ].join("");
  return { kind, release: chosen, variant: special, label };
}

/** `nats`, `nats@2.10`, `redis/tls`, `nats@2.10/mtls`. */
export function parseBroker(text: string): Wanted {
  const [, name = "", release, variant] = /^([^@/]+)(?:@([^/]+))?(?:\/(.+))?$/.exec(text) ?? [];
  if (name === "")
    throw new TypeError(`"${text}" is no broker: name, name@release, name/variant or name@release/variant`);
  return wantedBroker(name, release, variant);
}
