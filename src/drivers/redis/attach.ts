import type { RedisAttachment } from "./options.ts";

/** What an entry of a stream says; `key` is `""` for none, else `.` and the key. */
export interface EntryParts {
  readonly topic: string;
  readonly key: string;
  readonly headers: Buffer;
  readonly body: Uint8Array;
}

const noBytes = Buffer.alloc(0);

/** What a lane's hash says of entries that somebody else writes; "" for none. */
export interface ForeignFields {
  readonly fbody?: string | undefined;
  readonly ftopic?: string | undefined;
  readonly fdefault?: string | undefined;
}

/** An entry's fields and values in turn, as `entry` of scripts/pieces.ts reads them. */
export function readEntry(lane: ForeignFields, fields: readonly Buffer[]): EntryParts {
  const named = new Map<string, Buffer>();
  for (let at = 0; at < fields.length; at += 2) named.set(fields[at]!.toString(), fields[at + 1]!);
  if (fields.length === 8 && ["t", "k", "h", "b"].every((name, at) => fields[at * 2]!.toString() === name))
    return {
      topic: named.get("t")!.toString(),
      key: named.get("k")!.toString(),
      headers: named.get("h")!,
      body: named.get("b")!,
    };
  const body =
    (lane.fbody ? named.get(lane.fbody) : undefined) ?? (fields.length === 2 ? fields[1] : undefined) ?? asJson(named);
  const topic = lane.ftopic ? named.get(lane.ftopic)?.toString() : undefined;
  return {
    topic: topic || (lane.fdefault ?? ""),
    key: named.get("k")?.toString() ?? "",
    headers: named.get("h") ?? noBytes,
    body,
  };
}

function asJson(named: ReadonlyMap<string, Buffer>): Buffer {
  return Buffer.from(JSON.stringify(Object.fromEntries([...named].map(([name, value]) => [name, value.toString()]))));
}

/** The fields of a lane's hash that an attached stream has more than another. */
export function attachedFields(
  attachment: RedisAttachment,
  name: string,
  topics: readonly string[],
): Readonly<Record<string, string>> {
  return {
    key: attachment.key,
    fbody: attachment.body ?? "",
    ftopic: attachment.topic ?? "",
    fdefault: topics.find((topic) => !/[*>]/.test(topic)) ?? name,
  };
}
