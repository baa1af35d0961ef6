import { DriverError } from "../../internal/driver-error.ts";
import { type Kind, optionProblem, printable, record, type Shape, text } from "../../internal/option-problem.ts";
import type { KafkaAttachment } from "./kafka-options.ts";

/** What the options say of a stream that is another's topic. */
export interface Attachment {
  readonly topic: string;
  readonly topicHeader: string | undefined;
}

const topicName: Kind = (value) =>
  typeof value === "string" && /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/.test(value)
    ? undefined
    : "must be a name that a topic can have: 1 to 249 letters, digits, `.`, `_` and `-`";
const names: Kind = (value) =>
  record(value) ??
  Object.values(value as object)
    .map(text)
    .find((problem) => problem !== undefined);
const shape: Shape = { topic: topicName, topicHeader: text, groups: names };

type Given = Readonly<Record<string, KafkaAttachment>> | undefined;

/** Refuses what is unknown or wrong by its name, and two streams of one topic. */
export function attachments(given: Given = {}): ReadonlyMap<string, Attachment> {
  const attached = new Map<string, Attachment>();
  for (const [name, attachment] of Object.entries(given)) {
    const where = `kafka: "attach" of "${printable(name)}"`;
    const problem = optionProblem(where, attachment, shape);
    if (problem !== undefined) throw invalid(problem);
    const { topic, topicHeader } = attachment ?? {};
    if (topic === undefined) throw invalid(`${where} needs "topic"`);
    for (const [other, { topic: taken }] of attached)
      if (taken === topic) throw invalid(`${where}: the topic is attached to "${printable(other)}" already`);
    attached.set(name, { topic, topicHeader });
  }
  return attached;
}

/** By which name each group is known at Kafka: one for all that it reads. */
export function groupIds(given: Given = {}): ReadonlyMap<string, string> {
  const ids = new Map<string, string>();
  for (const [group, id] of Object.values(given).flatMap(({ groups = {} }) => Object.entries(groups))) {
    if (ids.has(group) && ids.get(group) !== id)
      throw invalid(`kafka: "attach": the group "${printable(group)}" can't have two names`);
    const other = [...ids].find(([known, taken]) => taken === id && known !== group)?.[0];
    if (other !== undefined)
      throw invalid(
        `kafka: "attach": the groups "${printable(other)}" and "${printable(group)}" can't have one name at Kafka`,
      );
    ids.set(group, id);
  }
  return ids;
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);
