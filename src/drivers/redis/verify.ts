import type { GroupSpec, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { covers } from "../../internal/topic-trie.ts";
import type { Definitions } from "./definitions.ts";
import { newSpec } from "../../internal/group-spec.ts";
import { startText } from "./start-text.ts";
import { escapeName, queuePartitions } from "./keys.ts";
import { laneFields } from "./lane-fields.ts";
import type { Session } from "./session.ts";
import { planStream, type StoredStream } from "./stream-plan.ts";
import type { Streams } from "./streams.ts";

type Command = readonly string[];

/** `manage: "verify"`: rejects when nothing of the prefix is there, with what makes it. */
export async function missingOwn(session: Session): Promise<void> {
  const { base } = session.keys;
  if ((await session.command(["HEXISTS", base, "id"])) === 1) return;
  const id = "$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')";
  throw absent(`the prefix "${session.context.prefix}"`, [["HSET", base, "layout", "1", "id", id]]);
}

/** The same for a stream: it is there and captures what it should. */
export async function missingStream(session: Session, streams: Streams, options: StreamOptions): Promise<void> {
  const all = new Map((await streams.all()).map((stream) => [stream.name, stream]));
  const plan = planStream(options, all, session.options.attach[options.name]);
  const found = all.get(options.name);
  const lacking = options.topics.filter((topic) => found?.topics.includes(topic) !== true);
  if (found !== undefined && lacking.length === 0) return;
  const what =
    found === undefined ? `stream "${options.name}"` : `topics ${lacking.join(", ")} of stream "${options.name}"`;
  const fields = Object.entries(laneFields(plan)).flat();
  throw absent(what, [
    ["HSET", session.keys.key(session.keys.stream(options.name)), ...fields],
    ["HSET", session.keys.key("streams"), escapeName(options.name), JSON.stringify(plan)],
    ["HINCRBY", session.keys.base, "rev", "1"],
  ]);
}

/** The same for a group: it is there and reads what it should. */
export async function missingGroup(
  session: Session,
  streams: Streams,
  definitions: Definitions,
  spec: GroupSpec,
): Promise<void> {
  const found = (await definitions.read(spec.group))?.spec;
  const lacking = spec.reads.filter(({ stream, patterns }) => {
    const known = found?.reads.find((read) => read.stream === stream)?.patterns ?? [];
    return !patterns.every((pattern) => known.some((each) => covers(each, pattern)));
  });
  if (lacking.length === 0) return;
  const all = new Map((await streams.all()).map((stream) => [stream.name, stream]));
  const topics = lacking.flatMap(({ patterns }) => patterns).join(", ");
  if (found === undefined) throw absent(`group "${spec.group}"`, groupCommands(session, newSpec(spec), all));
  throw new DriverError(
    "BUS_NOT_FOUND",
    `redis: group "${spec.group}" does not read ${topics}: subscribe once with manage "create", or use groups.update`,
  );
}

function groupCommands(
  session: Session,
  spec: GroupSpec,
  streams: ReadonlyMap<string, StoredStream>,
): readonly Command[] {
  const { keys } = session;
  const name = keys.group(spec.group);
  const called = session.options.groupNames.get(spec.group) ?? name;
  const commands: Command[] = [];
  const queue = { lane: keys.queue(spec.group), partitions: queuePartitions, starts: "0", own: undefined };
  const lanes: { lane: string; partitions: number; starts: string; own: string | undefined }[] = [queue];
  for (const { stream, patterns } of spec.reads) {
    const lane = keys.stream(stream);
    const { partitions = 0, attach } = streams.get(stream) ?? {};
    lanes.push({ lane, partitions, starts: startText(spec.from, spec.live, stream, partitions), own: attach?.key });
    commands.push(["HSET", keys.key("g", name, "pat"), lane, patterns.join(" ")]);
  }
  for (const { lane, partitions, starts, own } of lanes) {
    const ids = starts.split(" ");
    commands.push(["SADD", keys.key(lane, "g"), name]);
    for (let partition = 0; partition < partitions; partition += 1) {
      const key = own ?? keys.key(lane, String(partition));
      commands.push(["XGROUP", "CREATE", key, called, ids[partition] ?? ids[0] ?? "0", "MKSTREAM"]);
    }
  }
  const live = spec.live ? "1" : "";
  return [
    ["HSET", keys.key(keys.queue(spec.group)), "n", String(queuePartitions)],
    ...commands,
    ["HSET", keys.key("groups"), name, JSON.stringify(spec)],
    [
      ...["HSET", keys.key("g", name), "ordered", spec.order === "group" ? "1" : "", "live", live, "rev", "1"],
      ...["left", String(session.clock.now()), ...(called === name ? [] : ["name", called])],
    ],
  ];
}

function absent(what: string, commands: readonly Command[]): DriverError {
  const lines = commands.map((command) => `redis-cli ${command.map(quoted).join(" ")}`);
  return new DriverError(
    "BUS_NOT_FOUND",
    `redis: missing at the server: ${what}. Connect once with manage "create", or make it: ${lines.join("; ")}`,
  );
}

/** For a shell; what is made by a command of its own stays as it is. */
const quoted = (word: string): string =>
  /^[\w:.@-]+$/.test(word) || word.startsWith("$(head") ? word : `'${word.replaceAll("'", "'\\''")}'`;
